// SampleRNN (thesis 3.2, arXiv:1612.07837): recurrent tiers over frames, then a network over the last samples.
//
// Linear maps that follow one another are folded where that saves reads: a tier's frames into its input matrix, and
// the last tier's upsampling and the samples' own image into the first hidden matrix. What a tier conditions the next
// with is known for all its steps at once, so that matrix is read once for all of them.
#include <algorithm>

#include "recurrent.hpp"

namespace wavewright {
namespace {

struct Tier {
    int frame = 0;
    std::vector<Recurrent> layers;
    std::vector<Matrix> inputs;    // of the layers after the first
    CodeImage frame_image;         // in the gates of the first layer
    Matrix above;                  // from what conditions it to those gates; not of the slowest tier
    Buffer<float> given;           // above's product, (steps of this tier in a step of the tier above, streams, gates)
    std::vector<Affine> upsample;  // for each step of the tier below
    Buffer<float> upsampled;       // (steps of the tier below, streams, stride)
};

struct Fields {
    std::vector<int> frame_sizes;
    int window, units, n_rnn, embedding;
    bool gru, embedded, learned_state;
    float frame_scale;

    explicit Fields(const Config& config)
        : frame_sizes(config.sizes("frame_sizes")),
          window(config.size("window", frame_sizes.back())),
          units(config.size("units")),
          n_rnn(config.size("n_rnn")),
          embedding(config.size("embedding")),
          gru(config.text("cell") == "gru"),
          embedded(config.text("input") == "embedded"),
          learned_state(config.flag("learned_state")),
          frame_scale(static_cast<float>(config.number("frame_scale"))) {}
};

int vectors(const Setting& setting, const Fields& config) {
    int most = 1;
    for (std::size_t i = 0; i + 1 < config.frame_sizes.size(); i++)
        most = std::max(most, config.frame_sizes[i] / config.frame_sizes[i + 1]);
    return most * setting.streams;
}

class SampleRnn : public Network {
public:
    SampleRnn(const Setting& setting, const Fields& config)
        : Network(setting, std::max(config.frame_sizes[0], config.window), vectors(setting, config), config.units),
          units_(config.units),
          window_(config.window),
          stride_(padded(config.units)),
          hidden_(std::size_t(streams_) * stride_),
          last_(std::size_t(streams_) * stride_) {
        const Weights& weights = setting.weights;
        const Dense first = take(weights, "hidden.0.weight", units_, units_);
        const Dense table = config.embedded ? take(weights, "embedding.weight", q_levels_, config.embedding) : Dense();
        const int inputs = config.window * (config.embedded ? config.embedding : 1);
        const Dense samples = take(weights, "sample_input.weight", units_, inputs);
        const Dense offset =
            take(weights, "hidden.0.bias", units_) + first * take(weights, "sample_input.bias", units_);
        samples_image_ = CodeImage(setting, first * samples, config.window, config.embedded ? &table : nullptr, 1, 1);
        for (std::size_t i = 0; i < config.frame_sizes.size(); i++) add_tier(setting, config, i, first, offset);
        second_ = Affine(take(weights, "hidden.1.weight", units_, units_), take(weights, "hidden.1.bias", units_),
                         setting.precision);
        head_ = Affine(take(weights, "output.weight", q_levels_, units_), take(weights, "output.bias", q_levels_),
                       setting.precision);
        count(second_.matrix);
        count(head_.matrix);
    }

    void begin(int thread) override {
        for (Tier& tier : tiers_)
            for (Recurrent& layer : tier.layers) layer.begin(thread);
    }

    void step(int thread, std::uint64_t clock, bool wanted) override {
        for (std::size_t i = 0; i < tiers_.size(); i++)
            if (clock % tiers_[i].frame == 0) step_tier(thread, clock, i);
        if (wanted) step_samples(thread, static_cast<int>(clock % tiers_.back().frame));
    }

private:
    void add_tier(const Setting& setting, const Fields& config, std::size_t i, const Dense& first_hidden,
                  const Dense& offset) {
        const Weights& weights = setting.weights;
        const std::string name = "tiers." + std::to_string(i);
        const bool fastest = i + 1 == config.frame_sizes.size();
        Tier tier;
        tier.frame = config.frame_sizes[i];
        for (int j = 0; j < config.n_rnn; j++) {
            const std::string layer = name + ".layers." + std::to_string(j);
            const int inputs = i == 0 && j == 0 ? tier.frame : units_;
            const Cell cell(weights, layer, inputs, units_, config.gru);
            Dense bias = cell.bias;
            if (j > 0) {
                tier.inputs.emplace_back(cell.input, setting.precision, Cell::kGates);
                count(tier.inputs.back(), 1.0 / tier.frame);
            } else if (i == 0) {
                tier.frame_image =
                    CodeImage(setting, cell.input, tier.frame, nullptr, config.frame_scale, Cell::kGates);
            } else {
                const Dense frames = take(weights, name + ".frame_input.weight", units_, tier.frame);
                bias = bias + cell.input * take(weights, name + ".frame_input.bias", units_);
                tier.frame_image =
                    CodeImage(setting, cell.input * frames, tier.frame, nullptr, config.frame_scale, Cell::kGates);
                tier.above = Matrix(cell.input, setting.precision, Cell::kGates);
                tier.given = Buffer<float>(std::size_t(config.frame_sizes[i - 1] / tier.frame) * streams_ *
                                           tier.above.blocks * kBlock);
                remember(tier.given);
                count(tier.above, 1.0 / config.frame_sizes[i - 1]);
            }
            tier.layers.emplace_back(
                setting, cell.hidden, bias, config.gru,
                config.learned_state ? take(weights, layer + ".start", config.gru ? 1 : 2, units_) : Dense());
            tier.layers.back().each_state([this](const Buffer<float>& values) { remember(values); });
            count(tier.layers.back().matrix(), 1.0 / tier.frame);
        }
        const int ratio = fastest ? tier.frame : tier.frame / config.frame_sizes[i + 1];
        const Dense up = take(weights, name + ".upsample.weight", ratio * units_, units_);
        const Dense up_bias = take(weights, name + ".upsample.bias", ratio * units_);
        for (int k = 0; k < ratio; k++) {
            Dense part = rows_of(up, k * units_, units_), part_bias = rows_of(up_bias, k * units_, units_);
            if (fastest) {
                part = first_hidden * part;
                part_bias = first_hidden * part_bias + offset;
            }
            tier.upsample.emplace_back(part, part_bias, setting.precision);
            count(tier.upsample.back().matrix, 1.0 / tier.frame);
        }
        tier.upsampled = Buffer<float>(std::size_t(ratio) * streams_ * stride_);
        remember(tier.upsampled);
        tiers_.push_back(std::move(tier));
    }

    void step_tier(int thread, std::uint64_t clock, std::size_t i) {
        Tier& tier = tiers_[i];
        Scratch& scratch = scratch_[thread];
        const int turn = static_cast<int>(clock / tier.frame % 2);
        const float* x = nullptr;
        for (std::size_t j = 0; j < tier.layers.size(); j++) {
            Recurrent& layer = tier.layers[j];
            layer.recall(thread, turn, scratch);
            if (j > 0) {
                team_.wait(thread);
                layer.feed(thread, tier.inputs[j - 1], x, stride_, scratch);
            } else {
                feed_frames(thread, clock, i);
            }
            layer.finish(thread, turn);
            team_.arrive(thread);
            x = layer.hidden(1 - turn);
        }
        team_.wait(thread);
        const auto [first, last] = team_.share(thread, tier.upsample[0].matrix.blocks);
        const Operand hidden = operand(kernels_, tier.upsample[0].matrix, x, stride_, streams_, scratch);
        for (std::size_t k = 0; k < tier.upsample.size(); k++)
            for (int block = first; block < last; block++)
                tier.upsample[k].apply(kernels_, block, hidden, streams_,
                                       tier.upsampled.data() + k * streams_ * stride_, stride_);
        if (i + 1 == tiers_.size()) return;  // the sample tier goes on with this thread's own rows
        team_.meet(thread);
        Tier& next = tiers_[i + 1];
        const int count = static_cast<int>(tier.upsample.size()) * streams_;
        const std::ptrdiff_t width = next.above.blocks * kBlock;
        const Operand all = operand(kernels_, next.above, tier.upsampled.data(), stride_, count, scratch);
        const auto [from, to] = next.layers[0].own_blocks(thread);
        for (int block = from; block < to; block++) {
            for (int k = 0; k < count; k++) std::fill_n(next.given.data() + k * width + block * kBlock, kBlock, 0.0f);
            kernels_.product(next.above, block, all, count, next.given.data() + block * kBlock, width);
        }
    }

    void feed_frames(int thread, std::uint64_t clock, std::size_t i) {
        Tier& tier = tiers_[i];
        Recurrent& layer = tier.layers[0];
        const auto [first, last] = layer.own_blocks(thread);
        const std::ptrdiff_t width = tier.above.blocks * kBlock;
        const std::size_t slot = i ? clock % tiers_[i - 1].frame / tier.frame : 0;
        for (int s = 0; s < streams_; s++)
            for (int block = first; block < last; block++) {
                float* const gates = layer.gates(s, block);
                if (i) kernels_.add(gates, tier.given.data() + (slot * streams_ + s) * width + block * kBlock, kBlock);
                tier.frame_image.add(kernels_, heard(s, tier.frame), block, gates);
            }
    }

    void step_samples(int thread, int slot) {
        Scratch& scratch = scratch_[thread];
        const float* const above = tiers_.back().upsampled.data() + slot * streams_ * stride_;
        const auto [first, last] = team_.share(thread, second_.matrix.blocks);
        for (int s = 0; s < streams_; s++)
            for (int block = first; block < last; block++) {
                const std::ptrdiff_t at = s * stride_ + block * kBlock;
                std::copy_n(above + at, kBlock, hidden_.data() + at);
                samples_image_.add(kernels_, heard(s, window_), block, hidden_.data() + at);
                kernels_.relu(hidden_.data() + at, hidden_.data() + at, kBlock);
            }
        team_.meet(thread);
        const Operand hidden = operand(kernels_, second_.matrix, hidden_.data(), stride_, streams_, scratch);
        for (int block = first; block < last; block++) {
            second_.apply(kernels_, block, hidden, streams_, last_.data(), stride_);
            for (int s = 0; s < streams_; s++) {
                float* const rows = last_.data() + s * stride_ + block * kBlock;
                kernels_.relu(rows, rows, kBlock);
            }
        }
        team_.meet(thread);
        const Operand top = operand(kernels_, head_.matrix, last_.data(), stride_, streams_, scratch);
        const auto [from, to] = team_.share(thread, head_.matrix.blocks);
        for (int block = from; block < to; block++)
            head_.apply(kernels_, block, top, streams_, logits_.data(), logits_stride());
        team_.meet(thread);
    }

    int units_, window_;
    std::ptrdiff_t stride_;
    std::vector<Tier> tiers_;
    CodeImage samples_image_;
    Affine second_, head_;
    Buffer<float> hidden_, last_;
};

}  // namespace

std::unique_ptr<Network> make_sample_rnn(const Setting& setting, const Config& config) {
    return std::make_unique<SampleRnn>(setting, Fields(config));
}

}  // namespace wavewright
