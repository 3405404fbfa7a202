# What every target of the project shares: language, warnings, sanitizers, and
# the functions that declare a library, its unit tests and its fuzzers.

option(SIDECORE_BENCH "Build the benchmarks' programs" ON)
option(SIDECORE_UNIT_TESTS "Build the unit tests" ON)
option(SIDECORE_FUZZ "Build the libFuzzer targets (needs clang)" OFF)
set(SIDECORE_SANITIZE "" CACHE STRING "Value for -fsanitize=, empty for none")
option(SIDECORE_PRECOMPILE "Precompile the headers that most unit tests include" OFF)
option(SIDECORE_UNITY "Compile several sources at once, which is several times faster from nothing" OFF)
set(SIDECORE_COVERAGE OFF CACHE BOOL "Instrument for gcov")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  if(SIDECORE_PRECOMPILE)
    # What ccache's manual asks for with precompiled headers.
    set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env
        CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime "${CCACHE_PROGRAM}")
  else()
    set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
  endif()
endif()

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(tl-expected REQUIRED)

add_library(sidecore_options INTERFACE)
target_include_directories(sidecore_options INTERFACE "${CMAKE_SOURCE_DIR}/src")
target_compile_options(sidecore_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Woverloaded-virtual
  -Wold-style-cast -Wcast-qual -Wformat=2 -Wimplicit-fallthrough -Werror)
target_compile_definitions(sidecore_options INTERFACE SPDLOG_FMT_EXTERNAL)
target_link_options(sidecore_options INTERFACE LINKER:--as-needed)  # a program loads what it uses
target_link_libraries(sidecore_options INTERFACE Threads::Threads fmt::fmt tl::expected)
if(SIDECORE_SANITIZE)
  target_compile_options(sidecore_options INTERFACE
    -fsanitize=${SIDECORE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(sidecore_options INTERFACE -fsanitize=${SIDECORE_SANITIZE})
endif()
if(SIDECORE_UNITY)
  target_compile_options(sidecore_options INTERFACE -Wno-shadow)  # a source's own names shadow another's
endif()
if(SIDECORE_COVERAGE)
  target_compile_options(sidecore_options INTERFACE --coverage -O0)
  target_link_options(sidecore_options INTERFACE --coverage)
endif()

# What the unit tests add: what is tested is instrumented and optimised, not the tests themselves, whose macros take three
# times as long to compile with it.
add_library(sidecore_test_options INTERFACE)
target_link_libraries(sidecore_test_options INTERFACE sidecore_options)
target_include_directories(sidecore_test_options INTERFACE "${CMAKE_SOURCE_DIR}/tests")
if(SIDECORE_SANITIZE)
  target_compile_options(sidecore_test_options INTERFACE -O0 -fno-sanitize=undefined)
endif()

# With SIDECORE_UNITY a target's sources are compiled together, but for those in ALONE: they have names in common with others.
function(sidecore_unite target alone)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${SIDECORE_UNITY} UNITY_BUILD_BATCH_SIZE 12)
  set_source_files_properties(${alone} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# For what only people wait for. Its heavy templates take longest to compile, so that a sanitizer build does not optimise it, and the
# release build does so a little and once, not again in every program that it is linked to.
function(sidecore_cold target)
  set_target_properties(${target} PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)
  if(SIDECORE_SANITIZE)
    target_compile_options(${target} PRIVATE -O0)
  else()
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
  endif()
endfunction()

# sidecore_program(name SOURCES main.cc LINK sidecore_daemon)
# The program bin/<name>: a command line (CLI11's code, not worth UBSan's time) and what it calls.
function(sidecore_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  find_package(CLI11 REQUIRED)
  add_executable(${name} ${ARG_SOURCES})
  sidecore_cold(${name})
  if(SIDECORE_SANITIZE)
    target_compile_options(${name} PRIVATE -fno-sanitize=undefined)
  endif()
  target_link_libraries(${name} PRIVATE ${ARG_LINK} CLI11::CLI11)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
endfunction()

# sidecore_library(folder SOURCES a.cc b.cc [ALONE b.cc] DEPENDS base memory LINK extra::lib)
# The library of src/<folder>, called sidecore_<folder>. COLD: as sidecore_cold() says, and no fuzzer goes there.
function(sidecore_library folder)
  cmake_parse_arguments(ARG "COLD" "" "SOURCES;ALONE;DEPENDS;LINK" ${ARGN})
  list(TRANSFORM ARG_DEPENDS PREPEND sidecore_)
  if(ARG_SOURCES)
    add_library(sidecore_${folder} STATIC ${ARG_SOURCES})
    sidecore_unite(sidecore_${folder} "${ARG_ALONE}")
    target_link_libraries(sidecore_${folder} PUBLIC sidecore_options ${ARG_DEPENDS} ${ARG_LINK})
    if(ARG_COLD)
      sidecore_cold(sidecore_${folder})
    elseif(SIDECORE_FUZZ)
      # Every library tells the fuzzers where they have been.
      target_compile_options(sidecore_${folder} PRIVATE -fsanitize=fuzzer-no-link)
    endif()
  else()
    add_library(sidecore_${folder} INTERFACE)
    target_link_libraries(sidecore_${folder} INTERFACE sidecore_options ${ARG_DEPENDS} ${ARG_LINK})
  endif()
endfunction()

# sidecore_test(folder SOURCES a_test.cc b_test.cc [ALONE b_test.cc] DEPENDS memory)
# The GoogleTest program tests/<folder>, label "unit": tools/test runs it under AddressSanitizer and under ThreadSanitizer. One ctest
# entry per TEST, but with a sanitizer one per quarter of them, as a sanitizer takes longer to start than most tests to run; what became of each
# is in results/<folder>.<quarter>.xml. TIMEOUT: of a test, in seconds.
function(sidecore_test folder)
  if(NOT SIDECORE_UNIT_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;ALONE;DEPENDS;LINK" ${ARGN})
  list(TRANSFORM ARG_DEPENDS PREPEND sidecore_)
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  add_executable(${folder}_test ${ARG_SOURCES})
  sidecore_unite(${folder}_test "${ARG_ALONE}")
  target_link_libraries(${folder}_test PRIVATE sidecore_test_options ${ARG_DEPENDS} ${ARG_LINK} GTest::gmock_main)
  if(SIDECORE_PRECOMPILE)
    target_precompile_headers(${folder}_test REUSE_FROM sidecore_precompiled_test)
  endif()
  if(SIDECORE_SANITIZE)
    math(EXPR timeout "240 + ${ARG_TIMEOUT}")
    foreach(quarter RANGE 3)
      add_test(NAME ${folder}.${quarter}
        COMMAND ${folder}_test "--gtest_output=xml:${CMAKE_BINARY_DIR}/results/${folder}.${quarter}.xml")
      set_tests_properties(${folder}.${quarter} PROPERTIES
        LABELS ${ARG_LABEL} TIMEOUT ${timeout} COST ${ARG_TIMEOUT}  # the long ones first
        ENVIRONMENT "GTEST_TOTAL_SHARDS=4;GTEST_SHARD_INDEX=${quarter}")
    endforeach()
    return()
  endif()
  gtest_discover_tests(${folder}_test
    TEST_PREFIX "${folder}."
    DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT})
endfunction()

# sidecore_fuzz(name SOURCES a_fuzz.cc DEPENDS virtqueue MAX_LENGTH 4096)
# The libFuzzer program <name>_fuzz and the ctest entry "fuzz.<name>", label "fuzz", which runs it for FUZZ_SECONDS (20)
# from the seeds in corpus/<name>, if there are any, and fails on the first find. By hand: <name>_fuzz FOLDER;
# <name>_fuzz FILE runs a find again.
function(sidecore_fuzz name)
  cmake_parse_arguments(ARG "" "MAX_LENGTH" "SOURCES;DEPENDS;LINK" ${ARGN})
  list(TRANSFORM ARG_DEPENDS PREPEND sidecore_)
  if(NOT ARG_MAX_LENGTH)
    set(ARG_MAX_LENGTH 4096)
  endif()
  add_executable(${name}_fuzz ${ARG_SOURCES})
  target_link_libraries(${name}_fuzz PRIVATE sidecore_options ${ARG_DEPENDS} ${ARG_LINK})
  target_include_directories(${name}_fuzz PRIVATE "${CMAKE_SOURCE_DIR}/tests")
  target_compile_options(${name}_fuzz PRIVATE -fsanitize=fuzzer-no-link)
  target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)

  set(seeds "")
  if(EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name}")
    set(seeds "${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name}")
  endif()
  set(found "${CMAKE_CURRENT_BINARY_DIR}/found-by-${name}")
  file(MAKE_DIRECTORY "${found}")
  add_test(NAME fuzz.${name}
    COMMAND sh -c "exec \"$0\" -max_total_time=\"\${FUZZ_SECONDS:-20}\" \"$@\"" $<TARGET_FILE:${name}_fuzz>
            -max_len=${ARG_MAX_LENGTH} -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
            "-artifact_prefix=${found}/" "${found}" ${seeds})
  set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz)
endfunction()
