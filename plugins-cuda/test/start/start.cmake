# SPDX-License-Identifier: MIT
ccr_test(start_words SOURCES ${CMAKE_CURRENT_LIST_DIR}/words.c LIBS ccr_start)
ccr_test(start_choose SOURCES ${CMAKE_CURRENT_LIST_DIR}/choose.c LIBS ccr_start)
