#include "team.hpp"

#include <sched.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace wavewright {
namespace {

constexpr int kSpins = 4096;       // some 50 us, far longer than a running thread lags behind
constexpr int kIdleSpins = 65536;  // a millisecond, as long as a busy caller takes between two blocks
constexpr long kNapNanoseconds = 100'000;

void pause() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

}  // namespace

Team::Team(int threads) : threads_(threads), process_(getpid()), places_(threads) {
    for (int thread = 1; thread < threads; thread++) others_.emplace_back([this, thread] { serve(thread); });
}

Team::~Team() {
    stop_ = true;
    for (std::thread& other : others_)
        if (process_ == getpid())
            other.join();
        else
            other.detach();  // A forked process has no such thread.
}

void Team::wait(int thread) {
    if (thread == 0 && alone_) return;
    const std::uint32_t mine = places_[thread].count.load(std::memory_order_relaxed);
    for (int other = 0; other < threads_; other++) {
        int spins = 0;
        while (static_cast<std::int32_t>(places_[other].count.load(std::memory_order_acquire) - mine) < 0) {
            if (++spins < kSpins) {
                pause();
            } else {  // The other thread is not running, since another program has its core.
                if (thread == 0) was_stalled_ = true;
                sched_yield();
            }
        }
    }
}

void Team::start() {
    if (!alone_) job_.store(job_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    const NoDenormals none;
    call_(context_, 0);
    arrive_and_wait(0);
}

void Team::serve(int thread) {
    const NoDenormals none;
    std::uint32_t seen = 0;
    for (;;) {
        // An idle thread looks for work 10,000 times a second, so that the caller needs no system call to wake it.
        for (int spins = 0; job_.load(std::memory_order_acquire) == seen; spins++) {
            if (stop_) return;
            if (spins < kIdleSpins) {
                pause();
            } else {
                const timespec nap{0, kNapNanoseconds};
                nanosleep(&nap, nullptr);
            }
        }
        seen++;
        call_(context_, thread);
        arrive_and_wait(thread);
    }
}

#if defined(__x86_64__)
NoDenormals::NoDenormals() : before_(_mm_getcsr()) { _mm_setcsr(_mm_getcsr() | 0x8040); }
NoDenormals::~NoDenormals() { _mm_setcsr(static_cast<unsigned>(before_)); }
#elif defined(__aarch64__)
NoDenormals::NoDenormals() {
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(before_));
    __asm__ __volatile__("msr fpcr, %0" : : "r"(before_ | (std::uint64_t{1} << 24)));
}
NoDenormals::~NoDenormals() { __asm__ __volatile__("msr fpcr, %0" : : "r"(before_)); }
#else
NoDenormals::NoDenormals() : before_(0) {}
NoDenormals::~NoDenormals() = default;
#endif

}  // namespace wavewright
