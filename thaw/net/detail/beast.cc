// SPDX-License-Identifier: Apache-2.0
// The one translation unit that holds Beast's own code (BOOST_BEAST_SEPARATE_COMPILATION).
#include <boost/beast/src.hpp>
