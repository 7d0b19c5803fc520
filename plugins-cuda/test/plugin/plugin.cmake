# SPDX-License-Identifier: GPL-2.0-only
# The plugin's interface: its symbols, and a comparison with CRIU's header if it is found.
find_path(CRIU_PLUGIN_INCLUDE criu-plugin.h
	HINTS ${CRIU_SRC}/criu/include $ENV{CRIU_CUDA_CRIU_INCLUDE}
	PATH_SUFFIXES criu DOC "Directory of criu-plugin.h, for the ABI check only")
ccr_test(plugin_abi SOURCES ${CMAKE_CURRENT_LIST_DIR}/abi.c)
if(CRIU_PLUGIN_INCLUDE)
	target_compile_definitions(test_plugin_abi PRIVATE HAVE_CRIU_PLUGIN_H)
	target_include_directories(test_plugin_abi PRIVATE ${CRIU_PLUGIN_INCLUDE})
endif()

ccr_test(run_dir SOURCES ${CMAKE_CURRENT_LIST_DIR}/run_dir.c LIBS ccr_common)
ccr_test(fd_backup SOURCES ${CMAKE_CURRENT_LIST_DIR}/fd_backup.c ${PROJECT_SOURCE_DIR}/plugin/device/fd_backup.c
	${PROJECT_SOURCE_DIR}/plugin/task/state.c LIBS ccr_common)
ccr_test(guard SOURCES ${CMAKE_CURRENT_LIST_DIR}/watch/guard.c ${PROJECT_SOURCE_DIR}/plugin/watch/guard.c
	LIBS pthread)
ccr_test(guard_many SOURCES ${CMAKE_CURRENT_LIST_DIR}/watch/guard_many.c
	${PROJECT_SOURCE_DIR}/plugin/watch/guard.c)

set(plugin ${PROJECT_SOURCE_DIR}/plugin)
ccr_test(background SOURCES ${CMAKE_CURRENT_LIST_DIR}/watch/background.c ${plugin}/watch/background.c
	${plugin}/task/state.c LIBS ccr_common)
target_link_options(test_background PRIVATE LINKER:--wrap=syscall)
ccr_test(held SOURCES ${CMAKE_CURRENT_LIST_DIR}/watch/held.c ${plugin}/watch/held.c)
ccr_test(late_answer SOURCES ${CMAKE_CURRENT_LIST_DIR}/watch/late_answer.c ${plugin}/watch/watcher_message.c
	${plugin}/task/state.c LIBS ccr_common pthread)
ccr_test(driver_call SOURCES ${CMAKE_CURRENT_LIST_DIR}/driver_call.c ${plugin}/task/driver_call.c
	${plugin}/watch/background.c ${plugin}/task/state.c ${plugin}/trace/proc_status.c
	${plugin}/trace/each_thread.c LIBS ccr_common pthread)
add_library(host_test STATIC
	${plugin}/host/remap/smaps.c ${plugin}/host/remap/pagemap.c ${plugin}/host/remap/shared.c
	${plugin}/host/remap/ranges.c ${plugin}/host/remap/in_use.c ${plugin}/host/remap/choose.c
	${plugin}/host/remap/children.c ${plugin}/host/layout.c ${plugin}/host/early.c
	${plugin}/host/remap/copy.c ${plugin}/host/remap/empty.c ${plugin}/host/remap/drop.c ${plugin}/host/remap/fill.c
	${plugin}/host/remap/write.c ${plugin}/host/remap/huge.c ${plugin}/host/remap/compare.c
	${plugin}/host/late/late.c ${plugin}/host/late/faults.c ${plugin}/host/late/choose.c
	${plugin}/host/remap/anonymous.c ${plugin}/host/remap/from_file.c ${plugin}/threads/threads.c ${plugin}/threads/queue.c ${plugin}/inject/inject.c ${plugin}/inject/crew.c ${plugin}/inject/target.c ${plugin}/inject/fd.c
	${plugin}/task/state.c ${plugin}/task/restore_thread.c ${plugin}/trace/tracee.c ${plugin}/trace/each_thread.c
	${plugin}/trace/proc_status.c ${plugin}/watch/guard.c ${CMAKE_CURRENT_LIST_DIR}/no_watcher.c)
target_link_libraries(host_test PUBLIC ccr_image pthread)
ccr_test(work_queue SOURCES ${CMAKE_CURRENT_LIST_DIR}/work_queue.c LIBS host_test pthread)
# The thread sanitizer has a thread of its own in the child, which the test does not stop.
if(NOT CCR_SANITIZE MATCHES "thread")
	ccr_test(host_memory SOURCES ${CMAKE_CURRENT_LIST_DIR}/host_memory.c LIBS host_test)
	ccr_test(host_early SOURCES ${CMAKE_CURRENT_LIST_DIR}/early.c LIBS host_test pthread)
	ccr_test(host_drop SOURCES ${CMAKE_CURRENT_LIST_DIR}/drop.c LIBS host_test pthread)
	target_link_options(test_host_drop PRIVATE LINKER:--wrap=ccr__inject_start)
	ccr_test(host_late SOURCES ${CMAKE_CURRENT_LIST_DIR}/late.c LIBS host_test pthread)
	ccr_test(inject_leave SOURCES ${CMAKE_CURRENT_LIST_DIR}/leave.c LIBS host_test pthread)
	target_link_options(test_inject_leave PRIVATE LINKER:--wrap=ptrace)
	ccr_test(kept_stop SOURCES ${CMAKE_CURRENT_LIST_DIR}/kept_stop.c LIBS host_test pthread)
	ccr_test(host_choose SOURCES ${CMAKE_CURRENT_LIST_DIR}/host_choose.c LIBS host_test)
	target_link_options(test_host_choose PRIVATE LINKER:--wrap=opendir)
	ccr_test(host_huge SOURCES ${CMAKE_CURRENT_LIST_DIR}/huge.c LIBS host_test)
	ccr_test(populate SOURCES ${CMAKE_CURRENT_LIST_DIR}/populate.c ${plugin}/host/populate.c
		LIBS host_test pthread)
endif()

if(NOT CCR_SANITIZE)
	foreach(variant stock remap parallel)
		add_test(NAME plugin_exports_${variant} COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM}
			-DFILE=$<TARGET_FILE:plugin_${variant}> "-DALLOWED=CR_PLUGIN_DESC|ccr_plugin_info"
			"-DUNDEFINED=add_inventory_plugin|check_and_remove_inventory_plugin|cr_plugin_ctl|criu_get_image_dir|fd_id_generate_special|opts|print_on_level|set_compel_interrupt_only_mode"
			-P ${PROJECT_SOURCE_DIR}/cmake/check_exports.cmake)
	endforeach()
endif()
