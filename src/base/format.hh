// SPDX-License-Identifier: Apache-2.0
#pragma once

// fmt, with its formatter from its library or, for clang, from format.cc. fmt 9 leaves it to each file that formats into a buffer,
// which logging does as well, to compile all of it anew: with sanitizers a quarter of the time that such a file takes.
#include <fmt/format.h>

namespace fmt::detail {

extern template void vformat_to<char>(buffer<char>& to, basic_string_view<char> format,
                                      basic_format_args<buffer_context<char>> arguments, locale_ref locale);

}  // namespace fmt::detail
