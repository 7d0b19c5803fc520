# SPDX-License-Identifier: MIT
ccr_test(fuzz_corpus fuzz_corpus.c fuzz.c LIBS ccr_pool ARGS ${CMAKE_CURRENT_SOURCE_DIR}/corpus)

# cmake -DCMAKE_C_COMPILER=clang -DCCR_FUZZ=ON, then build/test/fuzz test/corpus
option(CCR_FUZZ "Build the fuzzer (clang)" OFF)
if(CCR_FUZZ)
	add_compile_options(-fsanitize=fuzzer-no-link)
	add_executable(fuzz fuzz.c)
	target_link_libraries(fuzz PRIVATE ccr_pool)
	target_compile_options(fuzz PRIVATE -fsanitize=fuzzer)
	target_link_options(fuzz PRIVATE -fsanitize=fuzzer)
endif()
