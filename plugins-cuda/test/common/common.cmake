# SPDX-License-Identifier: MIT
ccr_test(settings SOURCES ${CMAKE_CURRENT_LIST_DIR}/settings.c LIBS ccr_common)
ccr_test(trusted_run_dir SOURCES ${CMAKE_CURRENT_LIST_DIR}/run_dir.c LIBS ccr_common)
ccr_test(device_file SOURCES ${CMAKE_CURRENT_LIST_DIR}/device_file.c LIBS ccr_common)
ccr_test(syslog SOURCES ${CMAKE_CURRENT_LIST_DIR}/syslog.c LIBS ccr_common)
ccr_test(process SOURCES ${CMAKE_CURRENT_LIST_DIR}/process.c LIBS ccr_common)
ccr_test(memory SOURCES ${CMAKE_CURRENT_LIST_DIR}/memory.c LIBS ccr_common)
