// What throwing needs in WebAssembly, whose C++ library was built without. An exception ends the module: the reason is
// told to JavaScript, which throws it on and calls nothing of the module again. So nothing is ever caught or cleaned up
// in here, which makes the module a seventh smaller.
#include <cstdlib>
#include <typeinfo>

#include "wavewright/config.hpp"

extern "C" {

[[noreturn, clang::import_module("wavewright"), clang::import_name("fail")]] void fail(const char* reason);

void* __cxa_allocate_exception(std::size_t size) noexcept {
    void* const exception = std::malloc(size);
    if (!exception) fail("out of memory");
    return exception;
}

void __cxa_free_exception(void* exception) noexcept { std::free(exception); }

[[noreturn]] void __cxa_throw(void* exception, void* type, void (*)(void*)) {
    const bool is_ours = *static_cast<const std::type_info*>(type) == typeid(wavewright::Error);
    fail(is_ours ? static_cast<const wavewright::Error*>(exception)->what() : "out of memory");
}
}
