# `bootstrap`: the program of the Lambda function (provided.al2023, x86_64), static, of these layers alone: base, net, s3,
# store, hls, api. That it links proves that nothing of them leans on a database, a camera or a codec.
find_package(Threads REQUIRED)
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
set(OPENSSL_USE_STATIC_LIBS ON)
find_package(OpenSSL 3 REQUIRED)
# Tables for unwinding through C that throws nothing and calls back nothing that does: half a megabyte.
foreach(name SSL Crypto)
  get_target_property(archive OpenSSL::${name} IMPORTED_LOCATION)
  execute_process(COMMAND ${CMAKE_OBJCOPY} -R .eh_frame -R .rela.eh_frame ${archive} ${CMAKE_BINARY_DIR}/lib${name}.a
                  COMMAND_ERROR_IS_FATAL ANY)
  set_target_properties(OpenSSL::${name} PROPERTIES IMPORTED_LOCATION ${CMAKE_BINARY_DIR}/lib${name}.a)
endforeach()
set(Boost_USE_STATIC_LIBS ON)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
foreach(name z sodium pugixml)
  find_library(STATIC_${name} lib${name}.a REQUIRED)
  list(APPEND static_libraries ${STATIC_${name}})
endforeach()

set(sources
    net/conditional.cpp net/event_loop.cpp net/http.cpp net/http_client.cpp net/http_target.cpp net/origin.cpp
    hls/playlist.cpp hls/playlist_writer.cpp
    api/delivery.cpp api/delivery_settings.cpp api/gzip.cpp api/live_wishes.cpp api/objects.cpp api/page_files.cpp api/playlists.cpp
    api/router.cpp api/store_site.cpp api/stored_page.cpp api/timeline.cpp api/auth/access_files.cpp api/auth/auth.cpp
    api/auth/passwords.cpp api/auth/rights.cpp api/auth/session_routes.cpp api/auth/store_access.cpp api/auth/tokens.cpp)
list(TRANSFORM sources PREPEND ${CMAKE_SOURCE_DIR}/src/)
file(GLOB whole_layers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/base/*.cpp ${CMAKE_SOURCE_DIR}/src/s3/*.cpp
     ${CMAKE_SOURCE_DIR}/src/store/*.cpp ${CMAKE_SOURCE_DIR}/src/lambda/*.cpp)

add_executable(bootstrap ${sources} ${whole_layers})
target_include_directories(bootstrap PRIVATE ${CMAKE_SOURCE_DIR}/src)
# Debian has neither of fmt and spdlog as a static library. Calls of a class that is virtual to stay unlinked are not to
# be guessed at.
target_compile_definitions(bootstrap PRIVATE FMT_HEADER_ONLY SPDLOG_FMT_EXTERNAL BOOST_ASIO_NO_DEPRECATED)
target_compile_options(bootstrap PRIVATE -Wall -Wextra -Wconversion -Wshadow -Werror -Wno-restrict -Wno-stringop-overflow
                       -Wno-maybe-uninitialized -Wno-array-bounds -Wno-stringop-overread -Wno-dangling-pointer
                       -ffunction-sections -fdata-sections -fno-devirtualize-speculatively)
target_link_libraries(bootstrap PRIVATE OpenSSL::SSL OpenSSL::Crypto Boost::json ${static_libraries} Threads::Threads)
target_link_options(bootstrap PRIVATE -static -s -Wl,--gc-sections)
