# SPDX-License-Identifier: MIT
ccr_test(fuzz_corpus ${CMAKE_CURRENT_LIST_DIR}/fuzz_corpus.c ${CMAKE_CURRENT_LIST_DIR}/fuzz.c LIBS ccr_pool
	 ARGS ${CMAKE_CURRENT_SOURCE_DIR}/corpus)

# cmake -DCMAKE_C_COMPILER=clang -DCCR_FUZZ=ON -DCCR_SANITIZE=address,undefined, then build/test/fuzz test/corpus
if(CCR_FUZZ)
	add_executable(fuzz ${CMAKE_CURRENT_LIST_DIR}/fuzz.c)
	target_link_libraries(fuzz PRIVATE ccr_pool)
	target_link_options(fuzz PRIVATE -fsanitize=fuzzer)
endif()
