# SPDX-License-Identifier: MIT
# cmake -DREADELF=readelf -DFILE=dir/libcuda_intercept.so -P version_intercept.cmake
# Gives the interceptor the name of its build, libcuda_intercept-<first 16 digits of its build id>.so, and makes FILE a
# link to it. CRIU's images name the file and its build id, so files of earlier builds stay.
cmake_minimum_required(VERSION 3.22)
if(IS_SYMLINK ${FILE})
	return()
endif()
execute_process(COMMAND ${READELF} -n ${FILE} OUTPUT_VARIABLE notes COMMAND_ERROR_IS_FATAL ANY)
if(NOT notes MATCHES "Build ID: ([0-9a-f]+)")
	message(FATAL_ERROR "${FILE} has no build id")
endif()
string(SUBSTRING ${CMAKE_MATCH_1} 0 16 id)
cmake_path(GET FILE PARENT_PATH dir)
cmake_path(GET FILE STEM plain)
set(name ${plain}-${id}.so)

set(same FALSE)
if(EXISTS ${dir}/${name})
	file(SHA256 ${dir}/${name} old)
	file(SHA256 ${FILE} new)
	string(COMPARE EQUAL ${old} ${new} same)
endif()
if(same)
	# Processes may have it mapped, and must not see it deleted.
	file(REMOVE ${FILE})
	file(TOUCH ${dir}/${name})
else()
	file(RENAME ${FILE} ${dir}/${name})
endif()
file(CREATE_LINK ${name} ${FILE} SYMBOLIC)
