// The condition of a model: control frames, each of which holds for a few samples and is encoded once.
#pragma once

#include <optional>

#include "build_context.hpp"
#include "roll.hpp"

namespace wavewright {

// The features of a frame are those of each control in turn, then a flag for each control that says it is absent. A
// keyboard's own features come from its events. The caller gives all others, which are called dense.
class Condition {
public:
    // Reads the fields condition_hop, _width, _dense and _controls from the configuration. A model with a keyboard also
    // has keyboard_offset (the place of its features), keyboard_flag (the place of its flag among the dense features)
    // and the fields of a Roll.
    Condition(const BuildContext& context, const Config& config);

    int hop() const { return hop_; }
    int width() const { return width_; }

    int feed(int stream, std::span<const Event> events);
    // Gives the dense features (streams, frames, dense) of the frames that begin from sample `clock` on. One frame
    // holds from the next that begins on. An empty span changes nothing.
    void give(std::span<const float> dense, std::uint64_t clock);
    // Throws Error unless they can be given for the `samples` that begin with number `clock`.
    void check_dense(std::span<const float> dense, std::uint64_t clock, std::size_t samples) const;

    // Encodes the frame that begins at sample `clock`. Every thread calls encode. When it returns, the thread can read the
    // vectors of its streams (Team::streams).
    void encode(int thread, std::uint64_t clock);
    const VectorsView& vectors() const { return vectors_; }
    const VectorsView& features() const { return features_; }  // of that frame
    int features_count() const { return features_count_; }

    void reset();
    std::vector<std::span<std::byte>> state() const;
    std::size_t state_size() const;
    // Throws Error where a saved state has events that are out of range or out of order.
    void check(std::span<const std::byte> state) const;

private:
    void fill(int stream, std::uint64_t frame);
    void encode_alone(int stream);

    const Runtime& runtime_;
    int hop_, width_, dense_, controls_, features_count_, offset_ = 0, flag_ = 0;
    std::optional<Roll> roll_;
    PackedMatrix input_, output_;
    Buffer<float> input_bias_, output_bias_;
    Vectors held_;  // the dense features of each stream
    Vectors features_, hidden_, vectors_;
    std::span<const float> given_;
    std::uint64_t first_given_ = 0, frames_given_ = 0;
};

}  // namespace wavewright
