# add_delivery_plugin(NAME SOURCES...): a shared object NAME.so in plugins/ of the build tree that
# exports dp_plugin_query and nothing else (checked by a test).
function(add_delivery_plugin name)
    add_library(plugin-${name} MODULE ${ARGN})
    set_target_properties(plugin-${name} PROPERTIES
        PREFIX "" OUTPUT_NAME ${name}
        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/plugins)
    install(TARGETS plugin-${name} DESTINATION ${CMAKE_INSTALL_LIBDIR}/beckon/plugins)
    if(BECKON_TESTS)
        add_test(NAME abi/exports-${name}
            COMMAND ${CMAKE_SOURCE_DIR}/tests/abi/check_exports.sh $<TARGET_FILE:plugin-${name}>)
        set_tests_properties(abi/exports-${name} PROPERTIES LABELS abi)
    endif()
endfunction()
