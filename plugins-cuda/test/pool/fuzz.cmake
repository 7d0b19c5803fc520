# SPDX-License-Identifier: MIT
# corpus.tar.gz is unpacked into the build directory. To change it: unpack it there, add or remove files, then
#   tar -czf corpus.tar.gz --owner=0 --group=0 --numeric-owner --mode=644 -C BUILD/test/corpus .
set(fuzz_archive ${CMAKE_CURRENT_LIST_DIR}/corpus.tar.gz)
set(fuzz_corpus ${CMAKE_CURRENT_BINARY_DIR}/corpus)
add_custom_command(OUTPUT ${fuzz_corpus}.unpacked
	COMMAND ${CMAKE_COMMAND} -E rm -rf ${fuzz_corpus}
	COMMAND ${CMAKE_COMMAND} -E make_directory ${fuzz_corpus}
	COMMAND ${CMAKE_COMMAND} -E chdir ${fuzz_corpus} ${CMAKE_COMMAND} -E tar xzf ${fuzz_archive}
	COMMAND ${CMAKE_COMMAND} -E touch ${fuzz_corpus}.unpacked
	DEPENDS ${fuzz_archive} VERBATIM)
add_custom_target(fuzz_corpus_files ALL DEPENDS ${fuzz_corpus}.unpacked)
ccr_test(fuzz_corpus ${CMAKE_CURRENT_LIST_DIR}/fuzz_corpus.c ${CMAKE_CURRENT_LIST_DIR}/fuzz.c LIBS ccr_pool
	 ARGS ${fuzz_corpus})

# cmake -DCMAKE_C_COMPILER=clang -DCCR_FUZZ=ON -DCCR_SANITIZE=address,undefined, then build/test/fuzz build/test/corpus
if(CCR_FUZZ)
	add_executable(fuzz ${CMAKE_CURRENT_LIST_DIR}/fuzz.c)
	target_link_libraries(fuzz PRIVATE ccr_pool)
	target_link_options(fuzz PRIVATE -fsanitize=fuzzer)
endif()
