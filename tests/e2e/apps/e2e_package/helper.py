# SPDX-License-Identifier: Apache-2.0
def double(number):
    return 2 * number
