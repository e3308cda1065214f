// A keyboard for each stream. Events become the features of control frames, as in conditioning/roll.py.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "buffer.hpp"
#include "kernels.hpp"
#include "wavewright/config.hpp"
#include "wavewright/engine.hpp"

namespace wavewright {

class Roll {
public:
    // Reads the fields keyboard_low, _keys, _rate and _events from the configuration. The last is how many events can
    // wait in a stream.
    Roll(const Kernels& kernels, const Config& config, int hop, int streams);

    int features() const { return 4 * keys_ + 2; }

    // Lets events wait for their frames. Where there is no room, the oldest strikes are dropped, and their number is
    // returned. Throws Error for an event out of range, or where other events than strikes leave no room.
    int feed(int stream, std::span<const Event> events);
    // Takes the events that come before the end of a stream's next frame, and writes the features of that frame.
    void next(int stream, std::uint64_t frame, float* features);

    void reset();
    std::vector<std::span<std::byte>> state() const { return {pending_.bytes(), events_.bytes(), keys_state_.bytes()}; }
    // Throws Error where a saved state has events out of range or out of order.
    void check(std::span<const std::byte> state) const;

private:
    struct Key {
        std::int64_t struck;    // sample of the last strike
        std::int32_t velocity;  // of the last strike
        std::uint16_t held, sounding;
    };
    // The events [first, last) of a stream's table wait.
    struct Pending {
        std::int32_t first, last, pedal;
    };

    void take(int stream, const Event& event);

    const Kernels& kernels_;
    int low_, keys_, rate_, capacity_, hop_, streams_;
    Buffer<Pending> pending_;
    Buffer<Event> events_;    // (streams, capacity), of each stream by sample
    Buffer<Key> keys_state_;  // (streams, keys)
};

}  // namespace wavewright
