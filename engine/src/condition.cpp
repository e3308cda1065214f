#include "condition.hpp"

#include <algorithm>
#include <cmath>

namespace wavewright {

Condition::Condition(const BuildContext& context, const Config& config)
    : runtime_(context.runtime),
      hop_(config.size("condition_hop")),
      width_(config.size("condition_width")),
      dense_(config.size("condition_dense")),
      controls_(config.size("condition_controls")),
      features_count_(dense_) {
    const int streams = runtime_.streams;
    if (controls_ > dense_) throw Error("condition_controls: more than condition_dense");
    if (config.fields.contains("keyboard_keys")) {
        roll_.emplace(runtime_.kernels, config, hop_, streams);
        offset_ = config.index("keyboard_offset");
        flag_ = config.index("keyboard_flag");
        if (offset_ > dense_ || flag_ >= dense_)
            throw Error("keyboard_offset, keyboard_flag: not below condition_dense");
        features_count_ += roll_->features();
    }
    // The encoder reads few columns a frame, so a smaller precision would save nothing.
    input_ = PackedMatrix(context.weight("encoder.input.weight", width_, features_count_), Precision::float32);
    input_bias_ = pack(context.weight("encoder.input.bias", width_));
    output_ = PackedMatrix(context.weight("encoder.output.weight", width_, width_), Precision::float32);
    output_bias_ = pack(context.weight("encoder.output.bias", width_));
    held_ = Vectors(streams, dense_);
    features_ = Vectors(streams, features_count_);
    hidden_ = Vectors(streams, width_);
    vectors_ = Vectors(streams, width_);
}

int Condition::feed(int stream, std::span<const Event> events) {
    if (!roll_) throw Error("events: this model has no keyboard; leave them out");
    return roll_->feed(stream, events);
}

void Condition::check_dense(std::span<const float> dense, std::uint64_t clock, std::size_t samples) const {
    const std::uint64_t first = (clock + hop_ - 1) / hop_, last = (clock + samples + hop_ - 1) / hop_;
    const std::size_t frame = std::size_t(runtime_.streams) * dense_, frames = dense.size() / frame;
    if (dense.size() % frame || (frames > 1 && frames != last - first))
        throw Error("dense: " + std::to_string(dense.size()) + " values; give " + std::to_string(frame) +
                    " for one frame, or for each of the " + std::to_string(last - first) + " that begin");
    for (float value : dense)
        if (!std::isfinite(value)) throw Error("dense: " + std::to_string(value) + " is out of range");
}

void Condition::give(std::span<const float> dense, std::uint64_t clock) {
    const std::size_t frames = dense.size() / (std::size_t(runtime_.streams) * dense_);
    if (frames == 1)
        for (int s = 0; s < runtime_.streams; s++) std::copy_n(dense.data() + s * dense_, dense_, held_[s]);
    given_ = dense;
    first_given_ = (clock + hop_ - 1) / hop_;
    frames_given_ = frames > 1 ? frames : 0;
}

void Condition::encode(int thread, std::uint64_t clock) {
    const auto [first, last] = runtime_.team.items(thread, runtime_.streams);
    for (int s = first; s < last; s++) {
        fill(s, clock / hop_);
        encode_alone(s);
    }
    runtime_.team.arrive_and_wait(thread);
}

// Writes the features of a stream's next frame.
void Condition::fill(int stream, std::uint64_t frame) {
    float* const dense = held_[stream];
    float* const features = features_[stream];
    if (frame - first_given_ < frames_given_)
        std::copy_n(given_.data() + (stream * frames_given_ + frame - first_given_) * dense_, dense_, dense);
    if (!roll_) {
        std::copy_n(dense, dense_, features);
        return;
    }
    roll_->next(stream, frame, features + offset_);
    if (dense[flag_] != 0) std::fill_n(features + offset_, roll_->features(), 0.0f);
    std::copy_n(dense, offset_, features);
    std::copy(dense + offset_, dense + dense_, features + offset_ + roll_->features());
}

// Most features are zero, so the first layer adds the columns of the others. Their order does not depend on the stream.
void Condition::encode_alone(int stream) {
    const Kernels& kernels = runtime_.kernels;
    const float* const features = features_[stream];
    float* const hidden = hidden_[stream];
    const auto* const columns = reinterpret_cast<const float*>(input_.data);
    std::copy_n(input_bias_.data(), input_bias_.size(), hidden);
    for (int i = 0; i < features_count_; i++) {
        if (features[i] == 0) continue;
        for (int block = 0; block < input_.blocks; block++)
            kernels.add_scaled(hidden + block * kBlock, columns + (std::size_t(block) * features_count_ + i) * kBlock,
                               features[i], kBlock);
    }
    kernels.relu(hidden, hidden, static_cast<int>(input_bias_.size()));
    std::copy_n(output_bias_.data(), output_bias_.size(), vectors_[stream]);
    const Operand operand{hidden, nullptr, nullptr, nullptr, hidden_.stride};
    for (int block = 0; block < output_.blocks; block++)
        kernels.product(output_, block, operand, 1, vectors_[stream] + block * kBlock, vectors_.stride);
}

void Condition::reset() {
    frames_given_ = 0;
    for (int s = 0; s < runtime_.streams; s++) {
        std::fill_n(held_[s], dense_ - controls_, 0.0f);
        std::fill_n(held_[s] + dense_ - controls_, controls_, 1.0f);
    }
    if (roll_) roll_->reset();
}

std::vector<std::span<std::byte>> Condition::state() const {
    std::vector<std::span<std::byte>> parts{held_.bytes()};
    if (roll_)
        for (const std::span<std::byte> part : roll_->state()) parts.push_back(part);
    return parts;
}

std::size_t Condition::state_size() const {
    std::size_t size = 0;
    for (const auto& part : state()) size += part.size();
    return size;
}

void Condition::check(std::span<const std::byte> state) const {
    if (roll_) roll_->check(state.subspan(held_.bytes().size()));
}

}  // namespace wavewright
