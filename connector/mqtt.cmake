# The MQTT codec: no socket, no clock, so that tests and fuzz targets link it alone.
add_library(beckon-connector-mqtt STATIC
    ${CMAKE_CURRENT_LIST_DIR}/mqtt_codec.c
    ${CMAKE_CURRENT_LIST_DIR}/mqtt_connect.c
    ${CMAKE_CURRENT_LIST_DIR}/mqtt_encode.c
    ${CMAKE_CURRENT_LIST_DIR}/mqtt_props.c
    ${CMAKE_CURRENT_LIST_DIR}/mqtt_reader.c
    ${CMAKE_CURRENT_LIST_DIR}/mqtt_reason.c
    ${CMAKE_CURRENT_LIST_DIR}/mqtt_subscribe.c)
target_link_libraries(beckon-connector-mqtt PUBLIC beckon-common)
