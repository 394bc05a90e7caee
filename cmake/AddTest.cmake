# add_unit_test(FOLDER/test_NAME LIBRARIES...): one Check program, label `unit`, named by its path.
function(add_unit_test name)
    string(REPLACE "/" "-" target ${name})
    get_filename_component(file ${name} NAME)
    add_executable(${target} ${file}.c)
    target_link_libraries(${target} PRIVATE ${ARGN} PkgConfig::CHECK)
    target_compile_definitions(${target} PRIVATE
        TEST_SOURCE_DIR="${CMAKE_SOURCE_DIR}/tests" PROJECT_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME unit/${name} COMMAND ${target})
    # Check's own limit a test is 4 s, too little on a machine that is busy or under sanitizers.
    set_tests_properties(unit/${name} PROPERTIES LABELS unit TIMEOUT 180
        ENVIRONMENT "CK_DEFAULT_TIMEOUT=60")
endfunction()
