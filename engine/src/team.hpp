// A few threads that work in step. They spin at barriers, so that the generating path makes no system call. The caller
// is thread 0. The other threads start when the team is made.
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

    // Runs work(thread) on every thread, and returns when all are done.
    template <class Work>
    void run(Work&& work) {
        call_ = [](void* context, int thread) { (*static_cast<std::remove_reference_t<Work>*>(context))(thread); };
        context_ = &work;
        start();
    }

    // When other programs take the cores, threads that wait for one another are very slow. With `alone`, the caller
    // computes all shares from now on. Not to be called inside run().
    void run_alone(bool alone) {
        alone_ = alone;
        was_stalled_ = false;
    }

    // Whether the caller had to wait for a thread that was not running, since the last run_alone().
    bool was_stalled() const { return was_stalled_; }

    // The two halves of a barrier. Work that does not depend on the other threads fits between them.
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

    // The share [first, last) of `count` items that this thread computes.
    std::pair<int, int> share(int thread, int count) const {
        if (alone_ || threads_ == 1) return {0, count};
        return {count * thread / threads_, count * (thread + 1) / threads_};
    }

private:
    struct alignas(64) Place {
        std::atomic<std::uint32_t> count{0};
    };

    void start();
    void serve(int thread);

    int threads_;
    int process_;  // that started the threads
    bool alone_ = false, was_stalled_ = false;  // only the caller writes them
    std::vector<Place> places_;
    alignas(64) std::atomic<std::uint32_t> job_{0};
    std::atomic<bool> stop_{false};
    void (*call_)(void*, int) = nullptr;
    void* context_ = nullptr;
    std::vector<std::thread> others_;
};

// Treats denormal numbers as zero in this thread during the object's lifetime, since they are slow.
class NoDenormals {
public:
    NoDenormals();
    ~NoDenormals();

private:
    std::uint64_t before_;
};

}  // namespace wavewright
