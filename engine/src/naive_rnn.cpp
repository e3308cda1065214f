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
            layers_.emplace_back(context, cell, runtime_.samples);
            layer_outputs_.emplace_back(vectors_, units);
            add_state(layers_[i].state());
            add_work(layers_[i].cost());
        }
        head_ = Dense(context, context.weight("output.weight", output_count_, units),
                      context.weight("output.bias", output_count_));
        add_work(head_.cost());
        for (int thread = 0; thread < team_.size(); thread++) inputs_.emplace_back(vectors_, units);
    }

    void reset() override {
        for (Recurrent& layer : layers_) layer.reset();
    }

protected:
    void predict(int thread, const Stretch& stretch, bool wanted) override {
        const int vectors = stretch.samples * streams_;
        VectorsView x = inputs_[thread].slice(0, vectors);
        // Every thread has its own copy, which is quicker than a barrier.
        input_.apply_alone(thread, codes(stretch), x);
        if (condition_) {
            const VectorsView own = runtime_.own(thread, x), entering = runtime_.own(thread, entering_);
            for (int i = 0; i < own.count; i++)
                runtime_.kernels.add(own[i], entering[i % entering.count], static_cast<int>(own.stride));
        }
        if (prediction_) forecast_.add_alone(thread, prediction_->numbers(), x);
        for (std::size_t i = 0; i < layers_.size(); i++) {
            const VectorsView y = layer_outputs_[i].slice(0, vectors);
            run_layer(thread, stretch, i, x, y);
            x = y;
        }
        team_.wait(thread);
        if (!wanted) return;
        head_.apply(thread, x, outputs_.slice(0, vectors));
        team_.arrive_and_wait(thread);
    }

private:
    // y = x + the layer's hidden values. The threads have arrived then.
    void run_layer(int thread, const Stretch& stretch, std::size_t i, const VectorsView& x, const VectorsView& y) {
        Recurrent& layer = layers_[i];
        layer.start(thread, stretch.clock);
        if (i > 0) {
            team_.wait(thread);
            layer.read_input(thread, x);
        }
        for (int k = 0; k < stretch.samples; k++) {
            if (k > 0) {
                team_.arrive_and_wait(thread);
                layer.start(thread, stretch.clock + k);
            }
            if (i > 0) {
                layer.add_input(thread, k);
            } else {
                layer.add_codes(thread, input_gates_, codes(stretch).from(k));
                if (condition_) layer.add_gates(thread, entering_gates_);
                if (prediction_) layer.add_codes(thread, forecast_gates_, prediction_->numbers().from(k));
            }
            layer.finish(thread, stretch.clock + k, y.slice(k * streams_, streams_), x.slice(k * streams_, streams_));
        }
        team_.arrive(thread);
    }

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
