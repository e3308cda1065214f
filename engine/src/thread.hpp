// The threads of a team. A WebAssembly module has the thread that calls it, and no other.
#pragma once

#if defined(__wasm__)

namespace wavewright {

class Thread {
public:
    template <class Work>
    explicit Thread(Work) {
        __builtin_trap();  // A team of one starts none.
    }
    void join() {}
    void detach() {}
    static unsigned hardware_concurrency() { return 1; }
};

inline int process_id() { return 0; }  // It never forks.

}  // namespace wavewright

#else

#include <unistd.h>

#include <thread>

namespace wavewright {

using Thread = std::thread;
inline int process_id() { return getpid(); }

}  // namespace wavewright

#endif
