// Whether the caller of a team works with the other threads, or alone. It reads no clock, so that tests can drive it.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>

namespace wavewright {

// Threads that share a sample wait for one another, and for what the others wrote. Where cores are far apart, or other
// programs have them, that costs more than it brings. So the caller measures what a sample takes, together and alone,
// and takes the faster way. The other way is tried again now and then.
class WayRule {
public:
    using Time = std::chrono::steady_clock::duration;  // since the clock's beginning

    // Outlasts two or three slices of the scheduler (3 to 4 ms), which a program that seldom runs takes now and then.
    static constexpr Time kWindow = std::chrono::milliseconds(10);
    static constexpr Time kFirstWindow = std::chrono::milliseconds(100);  // while caches fill and threads start
    static constexpr Time kForgotten = std::chrono::seconds(1);  // A try of 10 to 20 ms costs 1 to 2%.
    static constexpr double kGain = 1.05;                        // that is worth the cores of the others
    static constexpr double kMemory = 4;  // windows of a running mean, since other programs make some of them slow

    bool alone() const { return alone_; }

    // The caller begins to play. The time since it last played does not count.
    void resume(Time now) { last_ = now; }

    // The caller played so many samples. Returns whether it is to go on in the other way.
    bool played(Time now, std::size_t samples) {
        time_ += now - last_;
        last_ = now;
        samples_ += samples;
        if (time_ < window_) return false;
        double &cost = cost_[alone_], &other = cost_[!alone_];
        const double window = std::chrono::duration<double>(time_).count() / static_cast<double>(samples_);
        const double measured = alone_ ? window : kGain * window;
        cost = cost > 0 ? cost + (measured - cost) / kMemory : measured;
        other_age_ += time_;
        if (other_age_ >= kForgotten) other = 0;
        window_ = kWindow;
        time_ = Time::zero();
        samples_ = 0;
        if (other >= cost) return false;
        alone_ = !alone_;
        other_age_ = Time::zero();
        return true;
    }

private:
    bool alone_ = false;
    Time window_ = kFirstWindow;
    Time last_{0};                  // when the caller last told
    Time time_{0};                  // of the window so far
    std::size_t samples_ = 0;       // of the window so far
    std::array<double, 2> cost_{};  // seconds a sample, together and alone. 0 is not known, so it is tried.
    Time other_age_{0};             // how long ago the other cost was measured
};

}  // namespace wavewright
