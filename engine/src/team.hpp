// A few threads that work in step. They spin at barriers, so that the generating path makes no system call. The caller
// is thread 0. The other threads start when the team is made. Few streams share their rows among the threads, which
// meet at every layer. Of many streams each thread plays its own, and the threads meet at the end of a block only.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "buffer.hpp"
#include "thread.hpp"
#include "way_rule.hpp"

namespace wavewright {

// Treats denormal numbers as zero in this thread during the object's lifetime, since they are slow.
class NoDenormals {
public:
    NoDenormals();
    ~NoDenormals();

private:
    [[maybe_unused]] std::uint64_t before_;
};

class Team {
public:
    explicit Team(int threads);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int size() const { return threads_; }
    // Sends all threads but the caller away. Not to be called inside run().
    void dismiss();

    // Runs work(thread) on every thread, and returns when all are done.
    template <class Work>
    void run(Work&& work) {
        call_ = [](void* context, int thread) { (*static_cast<std::remove_reference_t<Work>*>(context))(thread); };
        context_ = &work;
        start();
    }

    // Runs work() on the caller, whose share is all.
    template <class Work>
    void run_alone(Work&& work) {
        way_ = Way::alone;
        const NoDenormals none;
        work();
    }

    // Kinds of work, whose samples take different times.
    enum class Kind { sharing, many_streams, reading };

    // Chooses the way of the next run(): alone where that is the faster way or there is one thread, else apart for many
    // streams, else shared. Not to be called inside run().
    void choose(Kind kind);
    // Tells that so many samples were made. Returns whether to choose again. Only the caller tells, where it makes all
    // of them or a share of each, else after run().
    bool played(std::size_t samples);
    bool alone() const { return way_ == Way::alone; }
    bool apart() const { return way_ == Way::apart; }

    // The two halves of a barrier between threads that share rows. Work that does not depend on the other threads fits
    // between them.
    void arrive(int thread) {
        if (way_ == Way::shared) reach(thread);
    }
    void wait(int thread) {
        if (way_ == Way::shared) wait_for_others(thread);
    }
    void arrive_and_wait(int thread) {
        arrive(thread);
        wait(thread);
    }

    // The range [first, last) of rows, or of blocks of rows, that this thread computes.
    std::pair<int, int> rows(int thread, int count) const {
        return way_ == Way::shared ? part(thread, count) : std::pair{0, count};
    }
    // The streams whose rows this thread computes.
    std::pair<int, int> streams(int thread, int count) const {
        return way_ == Way::apart ? part(thread, count) : std::pair{0, count};
    }
    // Each item belongs to one thread, however rows and streams are divided.
    std::pair<int, int> items(int thread, int count) const {
        return way_ == Way::alone ? std::pair{0, count} : part(thread, count);
    }

private:
    // Threads share the rows of every stream, or play their own streams apart. Or the caller works alone.
    enum class Way { shared, apart, alone };

    struct alignas(64) Place {
        std::atomic<std::uint32_t> count{0};
    };

    std::pair<int, int> part(int thread, int count) const {
        return {count * thread / threads_, count * (thread + 1) / threads_};
    }
    void start();
    void serve(int thread);
    void reach(int thread) {
        auto& count = places_[thread].count;
        count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    }
    void wait_for_others(int thread);
    bool all_reached(int thread) const;  // the barrier that this thread has reached

    int threads_;
    int process_;            // that started the threads
    Way way_ = Way::shared;  // Only the caller writes this and the rules.
    std::array<WayRule, 3> rules_;
    WayRule* rule_ = nullptr;  // of the present kind
    std::vector<Place> places_;
    alignas(64) std::atomic<std::uint32_t> job_{0};
    std::atomic<bool> stop_{false};
    void (*call_)(void*, int) = nullptr;
    void* context_ = nullptr;
    std::vector<Thread> others_;
};

}  // namespace wavewright
