# WebSocket without a socket: no I/O, no clock, so that tests and fuzz targets link it alone.
add_library(beckon-connector-ws STATIC
    ${CMAKE_CURRENT_LIST_DIR}/ws_frame.c
    ${CMAKE_CURRENT_LIST_DIR}/ws_out.c
    ${CMAKE_CURRENT_LIST_DIR}/ws_policy.c
    ${CMAKE_CURRENT_LIST_DIR}/ws_upgrade.c)
target_link_libraries(beckon-connector-ws PUBLIC beckon-connector-mqtt beckon-common)
