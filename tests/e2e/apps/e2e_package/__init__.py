# SPDX-License-Identifier: Apache-2.0
"""A package that a function imports without being part of it."""
NAME = "e2e_package"
