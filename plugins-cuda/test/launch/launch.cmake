# SPDX-License-Identifier: MIT
ccr_test(launch_filter SOURCES ${CMAKE_CURRENT_LIST_DIR}/filter.c LIBS ccr_launch)
