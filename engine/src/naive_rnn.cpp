// NaiveRNN (thesis 3.1): LSTM layers with residual connections over one sample at a time.
//
// The first layer's input is a linear image of one code, so its input matrix is folded into that image.
#include <algorithm>

#include "recurrent.hpp"

namespace wavewright {
namespace {

class NaiveRnn : public Network {
public:
    NaiveRnn(const Setting& setting, const Config& config)
        : Network(setting, 1, setting.streams, config.size("units")), stride_(padded(config.size("units"))) {
        const int units = config.size("units");
        const Weights& weights = setting.weights;
        const bool embedded = config.text("input") == "embedded";
        const Dense table = embedded ? take(weights, "input.weight", q_levels_, units) : Dense();
        const Dense input = embedded ? identity(units) : take(weights, "input.weight", units, 1);
        const Dense offset = embedded ? Dense(units, 1) : take(weights, "input.bias", units);
        const Dense* const embedding = embedded ? &table : nullptr;
        input_ = CodeImage(setting, input, 1, embedding, 1, 1);
        input_bias_ = pack(offset);
        for (int i = 0; i < config.size("layers"); i++) {
            const Cell cell(weights, "layers." + std::to_string(i), units, units, false);
            const bool first = i == 0;
            if (first) gates_image_ = CodeImage(setting, cell.input * input, 1, embedding, 1, Cell::kGates);
            layers_.emplace_back(setting, cell.hidden, first ? cell.bias + cell.input * offset : cell.bias, false,
                                 Dense());
            inputs_.push_back(first ? Matrix() : Matrix(cell.input, setting.precision, Cell::kGates));
            outputs_.emplace_back(std::size_t(streams_) * stride_);
            count(layers_.back().matrix());
            count(inputs_.back());
            layers_.back().each_state([this](const Buffer<float>& values) { remember(values); });
        }
        head_ = Affine(take(weights, "output.weight", q_levels_, units), take(weights, "output.bias", q_levels_),
                       setting.precision);
        count(head_.matrix);
        for (int thread = 0; thread < team_.size(); thread++) images_.emplace_back(std::size_t(streams_) * stride_);
    }

    void begin(int thread) override {
        for (Recurrent& layer : layers_) layer.begin(thread);
    }

    void step(int thread, std::uint64_t clock, bool wanted) override {
        const int turn = clock % 2;
        Scratch& scratch = scratch_[thread];
        const float* x = image(thread);
        for (std::size_t i = 0; i < layers_.size(); i++) {
            Recurrent& layer = layers_[i];
            layer.recall(thread, turn, scratch);
            if (i > 0) {
                team_.wait(thread);
                layer.feed(thread, inputs_[i], x, stride_, scratch);
            }
            const auto [first, last] = layer.own_blocks(thread);
            if (i == 0)
                for (int s = 0; s < streams_; s++)
                    for (int block = first; block < last; block++)
                        gates_image_.add(kernels_, heard(s, 1), block, layer.gates(s, block));
            layer.finish(thread, turn);
            constexpr int kUnits = kBlock / Cell::kGates;
            const float* const h = layer.hidden(1 - turn);
            float* const y = outputs_[i].data();
            for (int s = 0; s < streams_; s++)
                for (std::ptrdiff_t u = s * stride_ + first * kUnits; u < s * stride_ + last * kUnits; u++)
                    y[u] = x[u] + h[u];
            team_.arrive(thread);
            x = y;
        }
        team_.wait(thread);
        if (!wanted) return;
        const auto [first, last] = team_.share(thread, head_.matrix.blocks);
        const Operand operands = operand(kernels_, head_.matrix, x, stride_, streams_, scratch);
        for (int block = first; block < last; block++)
            head_.apply(kernels_, block, operands, streams_, logits_.data(), logits_stride());
        team_.meet(thread);
    }

private:
    // The image of the last code, which a thread makes whole for itself: that is quicker than to meet.
    const float* image(int thread) {
        float* const x = images_[thread].data();
        for (int s = 0; s < streams_; s++)
            for (int block = 0; block < input_.blocks(); block++) {
                float* const to = x + s * stride_ + block * kBlock;
                std::copy_n(input_bias_.data() + block * kBlock, kBlock, to);
                input_.add(kernels_, heard(s, 1), block, to);
            }
        return x;
    }

    std::ptrdiff_t stride_;
    CodeImage input_, gates_image_;
    Buffer<float> input_bias_;
    std::vector<Recurrent> layers_;
    std::vector<Matrix> inputs_;
    std::vector<Buffer<float>> outputs_, images_;
    Affine head_;
};

}  // namespace

std::unique_ptr<Network> make_naive_rnn(const Setting& setting, const Config& config) {
    return std::make_unique<NaiveRnn>(setting, config);
}

}  // namespace wavewright
