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
};

inline int process_id() { return 0; }  // It never forks.
inline int cores() { return 1; }

}  // namespace wavewright

#else

#include <unistd.h>

#if defined(__linux__)
#include <sched.h>
#endif

#include <thread>

namespace wavewright {

using Thread = std::thread;
inline int process_id() { return getpid(); }

// Number of cores that this process may use. The standard library counts those of the machine.
inline int cores() {
#if defined(__linux__)
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return CPU_COUNT(&allowed);
#endif
    return static_cast<int>(Thread::hardware_concurrency());
}

}  // namespace wavewright

#endif
