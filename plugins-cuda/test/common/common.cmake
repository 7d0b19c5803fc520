# SPDX-License-Identifier: MIT
ccr_test(settings SOURCES ${CMAKE_CURRENT_LIST_DIR}/settings.c LIBS ccr_common)
