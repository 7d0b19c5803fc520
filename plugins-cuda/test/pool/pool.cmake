# SPDX-License-Identifier: MIT
ccr_test(pool_peer SOURCES ${CMAKE_CURRENT_LIST_DIR}/peer.c LIBS ccr_pool)
ccr_test(pool_identity SOURCES ${CMAKE_CURRENT_LIST_DIR}/identity.c LIBS ccr_pool)
ccr_test(pool_visible SOURCES ${CMAKE_CURRENT_LIST_DIR}/visible.c LIBS ccr_pool image_test)
