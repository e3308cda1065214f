// A few threads that work in step and meet at barriers on which they spin, so that the generating path makes no system
// call: the caller is thread 0, the others were started when the team was made.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "buffer.hpp"

namespace wavewright {

class Team {
public:
    explicit Team(int threads);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int size() const { return threads_; }

    // work(thread) on every thread; returns when all are done.
    template <class Work>
    void run(Work&& work) {
        call_ = [](void* context, int thread) { (*static_cast<std::remove_reference_t<Work>*>(context))(thread); };
        context_ = &work;
        start();
    }

    // Where other programs take the cores, threads that wait for one another get almost nowhere: while it is alone, the
    // caller does everybody's share. Not to be called inside run().
    void run_alone(bool alone) {
        alone_ = alone;
        was_stalled_ = false;
    }

    // Whether the caller has waited for a thread that was not running, since the last run_alone().
    bool was_stalled() const { return was_stalled_; }

    // A barrier in two halves: what needs nothing from the others can be done between them.
    void arrive(int thread) {
        if (thread == 0 && alone_) return;
        auto& count = places_[thread].count;
        count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    }
    void wait(int thread);
    void arrive_and_wait(int thread) {
        arrive(thread);
        wait(thread);
    }

    // This thread's share of `count` things: [first, last).
    std::pair<int, int> share(int thread, int count) const {
        if (alone_) return {0, count};
        return {count * thread / threads_, count * (thread + 1) / threads_};
    }

private:
    struct alignas(64) Place {
        std::atomic<std::uint32_t> count{0};
    };

    void start();
    void serve(int thread);

    int threads_;
    bool alone_ = false, was_stalled_ = false;  // written by the caller only
    std::vector<Place> places_;
    alignas(64) std::atomic<std::uint32_t> job_{0};
    std::atomic<bool> stop_{false};
    void (*call_)(void*, int) = nullptr;
    void* context_ = nullptr;
    std::vector<std::thread> others_;
};

// While it lives, this thread takes numbers too small for full precision as zero: they would be slow.
class NoDenormals {
public:
    NoDenormals();
    ~NoDenormals();

private:
    std::uint64_t before_;
};

}  // namespace wavewright
