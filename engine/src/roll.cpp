#include "roll.hpp"

#include <algorithm>
#include <cstring>

namespace wavewright {
namespace {

constexpr double kTraces[] = {0.010, 0.150};  // seconds
constexpr double kReach = 8;                  // time constants
constexpr int kPedalDown = 64;
constexpr int kMost = 127;  // of MIDI's numbers
constexpr std::int64_t kLastSample = std::int64_t{1} << 62;

bool is_strike(const Event& event) { return event.kind == EventKind::strike; }

bool earlier(std::int64_t sample, const Event& event) { return sample < event.sample; }

void check(const Event& event, const char* field) {
    const auto kind = static_cast<std::int32_t>(event.kind);
    const auto refuse = [&](const char* name, std::int64_t value) {
        throw Error(std::string(field) + ": " + name + " " + std::to_string(value) + " is out of range");
    };
    if (event.sample < 0 || event.sample > kLastSample) refuse("sample", event.sample);
    if (kind < 0 || kind > 2) refuse("kind", kind);
    if (event.key > kMost) refuse("key", event.key);
    if (event.value > kMost) refuse("value", event.value);
}

}  // namespace

Roll::Roll(const Kernels& kernels, const Config& config, int hop, int streams)
    : kernels_(kernels),
      low_(config.index("keyboard_low")),
      keys_(config.size("keyboard_keys")),
      rate_(config.size("keyboard_rate")),
      capacity_(config.size("keyboard_events")),
      hop_(hop),
      streams_(streams),
      pending_(streams),
      events_(std::size_t(streams) * capacity_),
      keys_state_(std::size_t(streams) * keys_) {}

int Roll::feed(int stream, std::span<const Event> events) {
    for (const Event& event : events) wavewright::check(event, "events");
    Pending& pending = pending_[stream];
    Event* const table = events_.data() + std::size_t(stream) * capacity_;
    std::copy(table + pending.first, table + pending.last, table);
    pending.last -= pending.first;
    pending.first = 0;
    const auto others = std::count_if(table, table + pending.last, std::not_fn(is_strike)) +
                        std::count_if(events.begin(), events.end(), std::not_fn(is_strike));
    if (others > capacity_)
        throw Error("events: " + std::to_string(others) + " releases and pedal events, but " +
                    std::to_string(capacity_) + " can wait; give later ones later");
    int dropped = 0;
    for (const Event& event : events) {
        if (pending.last == capacity_) {
            dropped++;
            Event* const oldest = std::find_if(table, table + pending.last, is_strike);
            const bool none = oldest == table + pending.last;
            if (is_strike(event) && (none || event.sample < oldest->sample)) continue;
            std::copy(oldest + 1, table + pending.last--, oldest);
        }
        Event* const place = std::upper_bound(table, table + pending.last, event.sample, earlier);
        std::copy_backward(place, table + pending.last, table + pending.last + 1);
        *place = event;
        pending.last++;
    }
    return dropped;
}

void Roll::next(int stream, std::uint64_t frame, float* features) {
    const std::uint64_t end = (frame + 1) * hop_;
    Pending& pending = pending_[stream];
    const Event* const table = events_.data() + std::size_t(stream) * capacity_;
    while (pending.first < pending.last && static_cast<std::uint64_t>(table[pending.first].sample) < end)
        take(stream, table[pending.first++]);
    const Key* const keys = keys_state_.data() + std::size_t(stream) * keys_;
    for (int k = 0; k < keys_; k++, features += 4) {
        const Key& key = keys[k];
        const double velocity = key.velocity / 127.0;
        const double age = static_cast<double>(static_cast<std::int64_t>(end - key.struck)) / rate_;
        features[0] = key.sounding;
        features[1] = static_cast<float>(key.sounding * velocity);
        for (int i = 0; i < 2; i++) {
            const bool heard = key.velocity > 0 && age <= kReach * kTraces[i];
            features[2 + i] = heard ? static_cast<float>(velocity * kernels_.exponential(-age / kTraces[i])) : 0;
        }
    }
    features[0] = static_cast<float>(pending.pedal / 127.0);
    features[1] = pending.pedal >= kPedalDown;
}

void Roll::take(int stream, const Event& event) {
    Key* const keys = keys_state_.data() + std::size_t(stream) * keys_;
    std::int32_t& pedal = pending_[stream].pedal;
    if (event.kind == EventKind::pedal) {
        pedal = event.value;
        if (pedal >= kPedalDown) return;
        for (int k = 0; k < keys_; k++) keys[k].sounding &= keys[k].held;
        return;
    }
    const int place = event.key - low_;
    if (place < 0 || place >= keys_) return;
    Key& key = keys[place];
    if (is_strike(event)) {
        key = {event.sample, event.value, 1, 1};
    } else {
        key.held = 0;
        if (pedal < kPedalDown) key.sounding = 0;
    }
}

void Roll::reset() {
    for (const std::span<std::byte> part : state()) std::fill(part.begin(), part.end(), std::byte{});
}

void Roll::check(std::span<const std::byte> state) const {
    const std::byte* const table = state.data() + pending_.bytes().size();
    for (int s = 0; s < streams_; s++) {
        Pending pending;
        std::memcpy(&pending, state.data() + s * sizeof pending, sizeof pending);
        if (pending.first < 0 || pending.first > pending.last || pending.last > capacity_)
            throw Error("state: events " + std::to_string(pending.first) + " to " + std::to_string(pending.last) +
                        " of " + std::to_string(capacity_) + "; it is damaged");
        std::int64_t before = 0;
        for (std::int32_t i = pending.first; i < pending.last; i++) {
            Event event;
            std::memcpy(&event, table + (std::size_t(s) * capacity_ + i) * sizeof event, sizeof event);
            wavewright::check(event, "state");
            if (event.sample < before) throw Error("state: events out of order; it is damaged");
            before = event.sample;
        }
    }
}

}  // namespace wavewright
