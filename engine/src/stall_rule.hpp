// When the caller of a team works with the other threads, and when alone. It reads no clock, so that tests can drive
// it.
#pragma once

#include <algorithm>
#include <chrono>

namespace wavewright {

// Threads that wait for one another are very slow while other programs have the cores. Two of them are slower than one
// when the caller waits for more than half of the time. So waiting adds to a debt, and work takes as much off. With too
// great a debt the caller works alone for a while.
class StallRule {
public:
    using Time = std::chrono::steady_clock::duration;  // since the clock's beginning

    // Outlasts two or three slices of the scheduler (3 to 4 ms), which a program that seldom runs takes now and then.
    static constexpr Time kMostDebt = std::chrono::milliseconds(10);
    // Alone for ten times as long as it took to see that the threads do not get on, or longer where they still do not.
    static constexpr Time kLeastAlone = std::chrono::milliseconds(100);
    // A try costs some 20 ms on a busy machine: 2% of a second. A core that comes free is used after a second at most.
    static constexpr Time kMostAlone = std::chrono::seconds(1);

    // The caller begins to play. The time since it last played is neither work nor waiting.
    void resume(Time now) { counted_ = now; }

    // The caller waited for the other threads.
    void waited(Time from, Time to) {
        debt_ = std::max(debt_ - (from - counted_) + (to - from), Time::zero());
        counted_ = to;
        if (debt_ <= kMostDebt) return;
        const bool soon = to - alone_until_ < alone_for_;  // together for a shorter time than alone before
        alone_for_ = soon ? std::min(2 * alone_for_, kMostAlone) : kLeastAlone;
        alone_until_ = to + alone_for_;
        debt_ = Time::zero();
    }

    bool alone(Time now) const { return now < alone_until_; }

private:
    Time debt_{0}, counted_{0};  // counted_: until when the debt is reckoned
    Time alone_for_{0}, alone_until_{0};
};

}  // namespace wavewright
