#include "team.hpp"

#include <sched.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace wavewright {
namespace {

using namespace std::chrono_literals;

constexpr int kSpins = 256;         // some microseconds, since most waits are too short to be worth a look at the clock
constexpr auto kYieldAfter = 50us;  // far longer than a running thread lags behind, for one stream
constexpr auto kIdle = 1ms;         // as long as a busy caller takes between two blocks
constexpr long kNapNanoseconds = 100'000;

WayRule::Time now() { return std::chrono::steady_clock::now().time_since_epoch(); }

void pause() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

}  // namespace

Team::Team(int threads) : threads_(threads), process_(process_id()), places_(threads) {
    for (int thread = 1; thread < threads; thread++) others_.emplace_back([this, thread] { serve(thread); });
    run([](int) {});  // The threads have started, which takes system calls.
}

Team::~Team() { dismiss(); }

void Team::dismiss() {
    stop_ = true;
    for (Thread& other : others_)
        if (process_ == process_id())
            other.join();
        else
            other.detach();  // A forked process has no such thread.
    others_.clear();
    places_ = std::vector<Place>(1);
    threads_ = 1;
}

void Team::wait_for_others(int thread) {
    for (int spins = 0; spins < kSpins; spins++) {
        if (all_reached(thread)) return;
        pause();
    }
    for (const WayRule::Time from = now(); !all_reached(thread);)
        if (now() - from < kYieldAfter)
            pause();
        else
            sched_yield();  // Another program may have the core of the thread that is late.
}

bool Team::all_reached(int thread) const {
    const std::uint32_t mine = places_[thread].count.load(std::memory_order_relaxed);
    for (const Place& place : places_)
        if (static_cast<std::int32_t>(place.count.load(std::memory_order_acquire) - mine) < 0) return false;
    return true;
}

void Team::choose(Kind kind) {
    way_ = Way::alone;
    if (threads_ == 1) return;
    rule_ = &rules_[static_cast<std::size_t>(kind)];
    rule_->resume(now());
    if (!rule_->alone()) way_ = kind == Kind::many_streams ? Way::apart : Way::shared;
}

bool Team::played(std::size_t samples) { return threads_ > 1 && rule_->played(now(), samples); }

void Team::start() {
    const NoDenormals none;
    if (alone()) return call_(context_, 0);
    job_.store(job_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    call_(context_, 0);
    reach(0);
    wait_for_others(0);
}

void Team::serve(int thread) {
    const NoDenormals none;
    std::uint32_t seen = 0;
    for (;;) {
        // An idle thread looks for work 10,000 times a second, so that the caller needs no system call to wake it.
        for (const WayRule::Time from = now(); job_.load(std::memory_order_acquire) == seen;) {
            if (stop_) return;
            if (now() - from < kIdle) {
                pause();
            } else {
                const timespec nap{0, kNapNanoseconds};
                nanosleep(&nap, nullptr);
            }
        }
        seen++;
        call_(context_, thread);
        reach(thread);
        wait_for_others(thread);
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
