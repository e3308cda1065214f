// WaveNet (thesis 3.3, arXiv:1609.03499): dilated causal convolutions; a step costs one column (arXiv:1611.09482).
//
// Each layer keeps its inputs in a ring. A layer's past taps need nothing of the present, so a thread sums them while
// it waits for the others to finish the layer before.
#include <algorithm>

#include "network.hpp"

namespace wavewright {
namespace {

struct Fields {
    int blocks, layers, channels, skip_channels, filter_width;
    bool gated, embedded;

    explicit Fields(const Config& config)
        : blocks(config.size("blocks")),
          layers(config.size("layers")),
          channels(config.size("channels")),
          skip_channels(config.size("skip_channels", channels)),
          filter_width(config.size("filter_width")),
          gated(config.text("form") == "gated"),
          embedded(config.text("input") == "embedded") {}
};

struct Layer {
    int dilation = 0, slots = 0;
    std::ptrdiff_t stride = 0;
    std::vector<Matrix> taps;  // the oldest first
    Buffer<float> bias;
    Affine residual, skip;  // gated form only
    Buffer<float> ring;     // (slots, streams, stride): inputs, the present one too
};

class WaveNet : public Network {
public:
    WaveNet(const Setting& setting, const Fields& config)
        : Network(setting, 1, setting.streams, std::max(config.channels, config.skip_channels)),
          gated_(config.gated),
          taps_(config.filter_width),
          width_(padded(config.channels)),
          skip_width_(padded(config.skip_channels)) {
        const Weights& weights = setting.weights;
        const int channels = config.channels;
        if (!gated_) {
            input_ = CodeImage(setting, identity(1), 1, nullptr, 1, 1);
            input_bias_ = Buffer<float>(kBlock);
        } else if (config.embedded) {
            const Dense table = take(weights, "input.weight", q_levels_, channels);
            input_ = CodeImage(setting, identity(channels), 1, &table, 1, 1);
            input_bias_ = Buffer<float>(width_);
        } else {
            input_ = CodeImage(setting, take(weights, "input.weight", channels, 1), 1, nullptr, 1, 1);
            input_bias_ = pack(take(weights, "input.bias", channels));
        }
        const int count_of_layers = config.blocks * config.layers;
        for (int i = 0, dilation = 1; i < count_of_layers; i++) {
            if (i % config.layers == 0) dilation = 1;
            add_layer(setting, config, i, dilation, i + 1 == count_of_layers);
            dilation *= config.filter_width;
        }
        sums_ = Buffer<float>(std::size_t(streams_) * (gated_ ? 2 : 1) * width_);
        top_ = Buffer<float>(std::size_t(streams_) * width_);
        for (Buffer<float>& z : gated_values_) z = Buffer<float>(std::size_t(streams_) * width_);
        for (Buffer<float>& values : skips_) values = Buffer<float>(std::size_t(streams_) * skip_width_);
        if (gated_) {
            const int skip = config.skip_channels;
            middle_ = Affine(take(weights, "output.1.weight", skip, skip), take(weights, "output.1.bias", skip),
                             setting.precision);
            head_ = Affine(take(weights, "output.3.weight", q_levels_, skip), take(weights, "output.3.bias", q_levels_),
                           setting.precision);
            count(middle_.matrix);
        } else {
            head_ = Affine(take(weights, "output.weight", q_levels_, channels), take(weights, "output.bias", q_levels_),
                           setting.precision);
        }
        count(head_.matrix);
    }

    // The rings as endless silence leaves them: every layer's response to a constant input.
    void begin(int thread) override { run(thread, 0, true); }

    void step(int thread, std::uint64_t clock, bool wanted) override {
        run(thread, clock, false);
        if (wanted) finish(thread);
    }

private:
    void add_layer(const Setting& setting, const Fields& config, int i, int dilation, bool last) {
        const Weights& weights = setting.weights;
        const std::string name = "layers." + std::to_string(i);
        const int channels = config.channels, inputs = !gated_ && i == 0 ? 1 : channels;
        const int rows = gated_ ? 2 * channels : channels, groups = gated_ ? 2 : 1;
        Layer layer;
        layer.dilation = dilation;
        layer.slots = (taps_ - 1) * dilation + 1;
        layer.stride = padded(inputs);
        layer.ring = Buffer<float>(layer.slots * streams_ * layer.stride);
        for (int tap = 0; tap < taps_; tap++) {
            layer.taps.emplace_back(take_tap(weights, name + ".weight", rows, inputs, taps_, tap), setting.precision,
                                    groups);
            count(layer.taps.back());
        }
        layer.bias = pack(gated_ ? take(weights, name + ".bias", rows) : Dense(rows, 1), groups);
        if (gated_) {
            const int skip = config.skip_channels;
            const Dense out = take_tap(weights, name + ".out_weight", channels + skip, channels, 1, 0);
            const Dense bias = take(weights, name + ".out_bias", channels + skip);
            if (!last) {  // nothing hears the last layer's
                layer.residual = Affine(rows_of(out, 0, channels), rows_of(bias, 0, channels), setting.precision);
                count(layer.residual.matrix);
            }
            layer.skip = Affine(rows_of(out, channels, skip), rows_of(bias, channels, skip), setting.precision);
            count(layer.skip.matrix);
        }
        layers_.push_back(std::move(layer));
        remember(layers_.back().ring);
    }

    // The inputs that layer i has at `back` samples before the present one.
    float* column(std::size_t i, std::uint64_t clock, std::uint64_t back) {
        Layer& layer = layers_[i];
        return layer.ring.data() + (clock + layer.slots - back) % layer.slots * streams_ * layer.stride;
    }

    void run(int thread, std::uint64_t clock, bool silent) {
        if (thread == 0) put_input(clock);
        team_.arrive(thread);
        for (std::size_t i = 0; i < layers_.size(); i++) {
            if (silent) {
                team_.wait(thread);
                if (thread == 0) fill(i);
                team_.meet(thread);
            }
            Layer& layer = layers_[i];
            const auto [first, last] = team_.share(thread, layer.taps[0].blocks);
            start_sums(layer, first, last);
            for (int tap = 0; tap + 1 < taps_; tap++)
                add_tap(thread, layer, tap, column(i, clock, std::uint64_t(taps_ - 1 - tap) * layer.dilation));
            if (gated_ && i > 0) add_skip(thread, i - 1);
            team_.wait(thread);
            add_tap(thread, layer, taps_ - 1, column(i, clock, 0));
            float* const next = i + 1 < layers_.size() ? column(i + 1, clock, 0) : top_.data();
            if (gated_) {
                put_gated(thread, i);
                team_.meet(thread);
                if (i + 1 < layers_.size()) put_residual(thread, i, column(i, clock, 0), next);
            } else {
                const std::ptrdiff_t rows = layer.taps[0].blocks * kBlock;
                for (int s = 0; s < streams_; s++)
                    kernels_.relu(next + s * width_ + first * kBlock, sums_.data() + s * rows + first * kBlock,
                                  (last - first) * kBlock);
            }
            team_.arrive(thread);
        }
        if (gated_) add_skip(thread, layers_.size() - 1);
        team_.wait(thread);
    }

    void put_input(std::uint64_t clock) {
        float* const x = column(0, clock, 0);
        for (int s = 0; s < streams_; s++)
            for (int block = 0; block < input_.blocks(); block++) {
                float* const to = x + s * layers_[0].stride + block * kBlock;
                std::copy_n(input_bias_.data() + block * kBlock, kBlock, to);
                input_.add(kernels_, heard(s, 1), block, to);
            }
    }

    void fill(std::size_t i) {
        Layer& layer = layers_[i];
        const std::ptrdiff_t size = streams_ * layer.stride;
        for (int slot = 1; slot < layer.slots; slot++)
            std::copy_n(layer.ring.data(), size, layer.ring.data() + slot * size);
    }

    void start_sums(const Layer& layer, int first, int last) {
        const std::ptrdiff_t rows = layer.taps[0].blocks * kBlock;
        for (int s = 0; s < streams_; s++)
            std::copy_n(layer.bias.data() + first * kBlock, (last - first) * kBlock,
                        sums_.data() + s * rows + first * kBlock);
    }

    void add_tap(int thread, const Layer& layer, int tap, const float* x) {
        const Matrix& matrix = layer.taps[tap];
        const auto [first, last] = team_.share(thread, matrix.blocks);
        const Operand operands = operand(kernels_, matrix, x, layer.stride, streams_, scratch_[thread]);
        for (int block = first; block < last; block++)
            kernels_.product(matrix, block, operands, streams_, sums_.data() + block * kBlock, matrix.blocks * kBlock);
    }

    void put_gated(int thread, std::size_t i) {
        const std::ptrdiff_t rows = layers_[i].taps[0].blocks * kBlock;
        const auto [first, last] = team_.share(thread, layers_[i].taps[0].blocks);
        for (int s = 0; s < streams_; s++)
            for (int block = first; block < last; block++)
                kernels_.gate(sums_.data() + s * rows + block * kBlock,
                              gated_values_[i % 2].data() + s * width_ + block * (kBlock / 2));
    }

    void put_residual(int thread, std::size_t i, const float* x, float* next) {
        const Affine& residual = layers_[i].residual;
        const auto [first, last] = team_.share(thread, residual.matrix.blocks);
        const Operand z =
            operand(kernels_, residual.matrix, gated_values_[i % 2].data(), width_, streams_, scratch_[thread]);
        for (int block = first; block < last; block++) {
            residual.apply(kernels_, block, z, streams_, next, width_);
            for (int s = 0; s < streams_; s++) {
                const std::ptrdiff_t at = s * width_ + block * kBlock;
                kernels_.add(next + at, x + at, kBlock);
            }
        }
    }

    // Layer i's share of the skip path; late, while others are waited for.
    void add_skip(int thread, std::size_t i) {
        const Affine& skip = layers_[i].skip;
        const auto [first, last] = team_.share(thread, skip.matrix.blocks);
        const Operand z =
            operand(kernels_, skip.matrix, gated_values_[i % 2].data(), width_, streams_, scratch_[thread]);
        float* const sums = skips_[0].data();
        for (int block = first; block < last; block++)
            for (int s = 0; s < streams_; s++) {
                float* const to = sums + s * skip_width_ + block * kBlock;
                if (i == 0) std::fill_n(to, kBlock, 0.0f);
                kernels_.add(to, skip.bias.data() + block * kBlock, kBlock);
            }
        for (int block = first; block < last; block++)
            kernels_.product(skip.matrix, block, z, streams_, sums + block * kBlock, skip_width_);
    }

    void finish(int thread) {
        const float* x = top_.data();
        if (gated_) {
            rectify(thread, 0);
            team_.meet(thread);
            const auto [first, last] = team_.share(thread, middle_.matrix.blocks);
            const Operand skips =
                operand(kernels_, middle_.matrix, skips_[0].data(), skip_width_, streams_, scratch_[thread]);
            for (int block = first; block < last; block++)
                middle_.apply(kernels_, block, skips, streams_, skips_[1].data(), skip_width_);
            rectify(thread, 1);
            team_.meet(thread);
            x = skips_[1].data();
        }
        const Operand top =
            operand(kernels_, head_.matrix, x, gated_ ? skip_width_ : width_, streams_, scratch_[thread]);
        const auto [first, last] = team_.share(thread, head_.matrix.blocks);
        for (int block = first; block < last; block++)
            head_.apply(kernels_, block, top, streams_, logits_.data(), logits_stride());
        team_.meet(thread);
    }

    void rectify(int thread, int which) {
        const auto [first, last] = team_.share(thread, static_cast<int>(skip_width_) / kBlock);
        for (int s = 0; s < streams_; s++) {
            float* const rows = skips_[which].data() + s * skip_width_ + first * kBlock;
            kernels_.relu(rows, rows, (last - first) * kBlock);
        }
    }

    bool gated_;
    int taps_;
    std::ptrdiff_t width_, skip_width_;
    CodeImage input_;
    Buffer<float> input_bias_;
    std::vector<Layer> layers_;
    Affine middle_, head_;
    Buffer<float> sums_, top_;
    Buffer<float> gated_values_[2];  // a layer's, and those of the one before, whose skip path may still be summed
    Buffer<float> skips_[2];         // the sum of the skip paths; the first layer of the output network
};

}  // namespace

std::unique_ptr<Network> make_wavenet(const Setting& setting, const Config& config) {
    return std::make_unique<WaveNet>(setting, Fields(config));
}

}  // namespace wavewright
