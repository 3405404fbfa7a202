// SPDX-License-Identifier: Apache-2.0
#include "base/format.hh"

namespace fmt::detail {

// fmt's library has it, too, but as gcc names it, which clang does otherwise.
#ifdef __clang__
template void vformat_to<char>(buffer<char>& to, basic_string_view<char> format,
                               basic_format_args<buffer_context<char>> arguments, locale_ref locale);
#endif

}  // namespace fmt::detail
