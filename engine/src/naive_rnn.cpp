// NaiveRNN (thesis 3.1): LSTM layers with residual connections over one sample at a time.
//
// The first layer's input is a linear image of one code, so its input matrix is folded into that image. A condition
// and a forecast are added to the input, and likewise folded.
#include "dense.hpp"
#include "network.hpp"
#include "recurrent.hpp"

namespace wavewright {
namespace {

class NaiveRnn : public Network {
public:
    NaiveRnn(const BuildContext& context, const Config& config) : Network(context, 1) {
        const int units = config.size("units"), layers = config.size("layers");
        const bool embedded = config.text("input") == "embedded";
        const Embedding table = embedded ? context.embedding("input", units) : Embedding();
        const Matrix input = embedded ? identity(units) : context.weight("input.weight", units, 1);
        const Matrix bias = embedded ? Matrix(units, 1) : context.weight("input.bias", units);
        input_ = CodeImage(context, input, {.bias = bias, .embedding = table});
        for (int i = 0; i < layers; i++) {
            Cell cell(context, "layers." + std::to_string(i), units, units, false);
            if (i == 0) {
                input_gates_ = CodeImage(context, cell.input * input, {.embedding = table, .groups = Cell::kGates});
                cell.bias = cell.bias + cell.input * bias;
                if (condition_) {
                    const Matrix entry = context.weight("condition.weight", units, condition_->width());
                    entering_ = add_entry(context, entry);
                    entering_gates_ = add_entry(context, cell.input * entry, Cell::kGates);
                }
                if (prediction_) {
                    forecast_ = prediction_->image(context, identity(units));
                    forecast_gates_ = prediction_->image(context, cell.input, Cell::kGates);
                }
                cell.input = Matrix();
            }
            layers_.emplace_back(context, cell);
            layer_outputs_.emplace_back(streams_, units);
            add_state(layers_[i].state());
            add_work(layers_[i].cost());
        }
        head_ = Dense(context, context.weight("output.weight", output_count_, units),
                      context.weight("output.bias", output_count_));
        add_work(head_.cost());
        for (int thread = 0; thread < team_.size(); thread++) inputs_.emplace_back(streams_, units);
    }

    void reset() override {
        for (Recurrent& layer : layers_) layer.reset();
    }

protected:
    void predict(int thread, std::uint64_t clock, bool wanted) override {
        VectorsView x = inputs_[thread];
        input_.apply_alone(thread, past_codes_, x);  // Every thread has its own copy, which is quicker than a barrier.
        if (condition_) {
            const VectorsView own = runtime_.own(thread, x);
            runtime_.kernels.add(own.data, runtime_.own(thread, entering_).data, static_cast<int>(own.count * own.stride));
        }
        if (prediction_) forecast_.add_alone(thread, prediction_->numbers(), x);
        for (std::size_t i = 0; i < layers_.size(); i++) {
            Recurrent& layer = layers_[i];
            layer.start(thread, clock);
            if (i == 0) {
                layer.add_codes(thread, input_gates_, past_codes_);
                if (condition_) layer.add_gates(thread, entering_gates_);
                if (prediction_) layer.add_codes(thread, forecast_gates_, prediction_->numbers());
            } else {
                team_.wait(thread);
                layer.add_input(thread, x);
            }
            layer.finish(thread, clock);
            layer.add_residual(thread, clock, x, layer_outputs_[i]);
            team_.arrive(thread);
            x = layer_outputs_[i];
        }
        team_.wait(thread);
        if (!wanted) return;
        head_.apply(thread, x, outputs_);
        team_.arrive_and_wait(thread);
    }

private:
    CodeImage input_, input_gates_;          // input_gates_: the input's part of the first layer's gates
    VectorsView entering_, entering_gates_;  // what the condition adds to the input, and to those gates
    CodeImage forecast_, forecast_gates_;    // what the forecast adds likewise
    std::vector<Recurrent> layers_;
    std::vector<Vectors> inputs_;   // of each thread
    std::vector<Vectors> layer_outputs_;
    Dense head_;
};

}  // namespace

std::unique_ptr<Network> make_naive_rnn(const BuildContext& context, const Config& config) {
    return std::make_unique<NaiveRnn>(context, config);
}

}  // namespace wavewright
