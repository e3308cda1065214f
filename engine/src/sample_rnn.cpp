// SampleRNN (thesis 3.2, arXiv:1612.07837): recurrent tiers over frames, then a network over the last samples.
//
// Linear maps that follow one another are folded where that saves reads. A tier's frame matrix is folded into its input
// matrix. The last tier's upsampling and the image of the samples are folded into the first hidden matrix. A step of a
// tier conditions several steps of the next, so the next tier's input matrix is read once for all of them. Where a
// condition or a forecast enters a tier or the sample tier, its matrix is folded into the matrix that follows.
#include <algorithm>

#include "dense.hpp"
#include "elementwise.hpp"
#include "network.hpp"
#include "recurrent.hpp"
#include "upsampling.hpp"

namespace wavewright {
namespace {

struct Fields {
    std::vector<int> frame_sizes;
    int window, units, n_rnn;
    bool gru, embedded, learned_state;
    int embedding;
    float frame_scale;

    explicit Fields(const Config& config)
        : frame_sizes(config.sizes("frame_sizes")),
          window(config.size("window", frame_sizes.back())),
          units(config.size("units")),
          n_rnn(config.size("n_rnn")),
          gru(config.text("cell") == "gru"),
          embedded(config.text("input") == "embedded"),
          learned_state(config.flag("learned_state")),
          embedding(embedded ? config.size("embedding") : 1),
          frame_scale(static_cast<float>(config.number("frame_scale"))) {}
};

struct Tier {
    int frame = 0;
    std::vector<Recurrent> layers;
    std::vector<Vectors> outputs;  // of each layer
    CodeImage frames;              // the frame's part of the first layer's gates
    VectorsView entering;          // the condition's part of those gates
    Dense conditioning;            // from the slower tier's output to those gates, not in the slowest tier
    Handed conditioned;            // its output
    Upsampling upsampled;          // to the steps of the faster tier
};

class SampleRnn : public Network {
public:
    SampleRnn(const BuildContext& context, const Fields& fields)
        : Network(context, std::max(fields.frame_sizes[0], fields.window)),
          hidden_(vectors_, fields.units),
          second_hidden_(vectors_, fields.units) {
        const int units = fields.units;
        const Matrix first = context.weight("hidden.0.weight", units, units);
        const Embedding table = fields.embedded ? context.embedding("embedding", fields.embedding) : Embedding();
        const Matrix samples = context.weight("sample_input.weight", units, fields.window * fields.embedding);
        const Matrix bias = context.weight("hidden.0.bias", units) + first * context.weight("sample_input.bias", units);
        samples_ = CodeImage(context, first * samples, {.embedding = table});
        if (condition_)
            entering_ = add_entry(context, first * context.weight("condition.weight", units, condition_->width()));
        if (prediction_) forecast_ = prediction_->image(context, first);
        for (std::size_t i = 0; i < fields.frame_sizes.size(); i++) add_tier(context, fields, i, first, bias);
        second_ = Dense(context, context.weight("hidden.1.weight", units, units),
                        context.weight("hidden.1.bias", units), {.relu = true});
        head_ = Dense(context, context.weight("output.weight", output_count_, units),
                      context.weight("output.bias", output_count_));
        add_work(second_.cost());
        add_work(head_.cost());
    }

    void reset() override {
        for (Tier& tier : tiers_)
            for (Recurrent& layer : tier.layers) layer.reset();
    }

protected:
    void predict(int thread, const Stretch& stretch, bool wanted) override {
        for (std::size_t i = 0; i < tiers_.size(); i++)
            if (stretch.steps(tiers_[i].frame)) step_tier(thread, stretch, i);
        if (wanted) step_samples(thread, stretch);
        for (std::size_t i = 0; i < tiers_.size(); i++) {
            tiers_[i].upsampled.keep(thread, stretch);
            if (i > 0) tiers_[i].conditioned.keep(thread, stretch);
        }
    }

private:
    // The last tier's upsampling is folded into the first hidden layer, given as its matrix and bias.
    void add_tier(const BuildContext& context, const Fields& fields, std::size_t i, const Matrix& hidden,
                  const Matrix& hidden_bias) {
        const std::string name = "tiers." + std::to_string(i);
        const int units = fields.units;
        const bool fastest = i + 1 == fields.frame_sizes.size();
        Tier tier;
        tier.frame = fields.frame_sizes[i];
        for (int j = 0; j < fields.n_rnn; j++) {
            const int inputs = i == 0 && j == 0 ? tier.frame : units;
            const int condition_width = condition_ && i == 0 && j == 0 ? condition_->width() : 0;
            Cell cell(context, name + ".layers." + std::to_string(j), inputs, units, fields.gru, fields.learned_state,
                      condition_width);
            if (j == 0) fold_inputs(context, fields, i, cell, tier);
            const int steps = (runtime_.samples - 1) / tier.frame + 1;
            tier.layers.emplace_back(context, cell, steps);
            tier.outputs.emplace_back(steps * streams_, units);
            add_state(tier.layers[j].state());
            add_work(tier.layers[j].cost(), 1.0 / tier.frame);
        }
        const int ratio = fastest ? tier.frame : tier.frame / fields.frame_sizes[i + 1];
        const Matrix up = context.weight(name + ".upsample.weight", ratio * units, units);
        const Matrix up_bias = context.weight(name + ".upsample.bias", ratio * units);
        std::vector<Dense> matrices;
        for (int k = 0; k < ratio; k++) {
            const Matrix part = rows_of(up, k * units, units), part_bias = rows_of(up_bias, k * units, units);
            matrices.push_back(fastest ? Dense(context, hidden * part, hidden * part_bias + hidden_bias)
                                       : Dense(context, part, part_bias));
            add_work(matrices[k].cost(), 1.0 / tier.frame);
        }
        tier.upsampled = Upsampling(runtime_, tier.frame, std::move(matrices), units);
        add_state({tier.upsampled.state()});
        tiers_.push_back(std::move(tier));
    }

    // Folds the input matrix of a tier's first layer into what it is multiplied with.
    void fold_inputs(const BuildContext& context, const Fields& fields, std::size_t i, Cell& cell, Tier& tier) {
        const std::string tier_name = "tiers." + std::to_string(i), name = tier_name + ".frame_input";
        Matrix frames = cell.input, condition = cell.condition;
        if (i > 0) {
            if (condition_)
                condition =
                    cell.input * context.weight(tier_name + ".condition.weight", fields.units, condition_->width());
            const int slower = fields.frame_sizes[i - 1];
            frames = cell.input * context.weight(name + ".weight", fields.units, tier.frame);
            cell.bias = cell.bias + cell.input * context.weight(name + ".bias", fields.units);
            tier.conditioned = Handed(runtime_, slower, slower / tier.frame, cell.input.rows);
            tier.conditioning = Dense(context, cell.input, Matrix(),
                                      {.groups = Cell::kGates, .vectors = tier.conditioned.capacity()});
            add_state({tier.conditioned.state()});
            add_work(tier.conditioning.cost(), 1.0 / tier.frame, 1.0 / slower);
        }
        if (condition_) tier.entering = add_entry(context, condition, Cell::kGates);
        tier.frames = CodeImage(context, frames, {.scale = fields.frame_scale, .groups = Cell::kGates});
        cell.input = Matrix();
    }

    // Makes the steps of a tier that begin in the stretch.
    void step_tier(int thread, const Stretch& stretch, std::size_t i) {
        Tier& tier = tiers_[i];
        const int steps = stretch.steps(tier.frame);
        const std::uint64_t first = stretch.first_step(tier.frame);
        VectorsView x;
        for (std::size_t j = 0; j < tier.layers.size(); j++) {
            Recurrent& layer = tier.layers[j];
            const VectorsView y = tier.outputs[j].slice(0, steps * streams_);
            layer.start(thread, first);
            if (j > 0) {
                team_.wait(thread);
                layer.read_input(thread, x);
            }
            for (int k = 0; k < steps; k++) {
                if (k > 0) {
                    team_.arrive_and_wait(thread);
                    layer.start(thread, first + k);
                }
                if (j > 0)
                    layer.add_input(thread, k);
                else
                    add_inputs(thread, stretch, i, first + k);
                layer.finish(thread, first + k, y.slice(k * streams_, streams_));
            }
            team_.arrive(thread);
            x = y;
        }
        team_.wait(thread);
        tier.upsampled.apply(thread, stretch, x);
        if (i + 1 == tiers_.size()) return;  // The sample tier goes on with this thread's own rows.
        team_.arrive_and_wait(thread);
        condition(thread, stretch, tier, tiers_[i + 1]);
    }

    // Adds what enters the first layer of a tier at a step.
    void add_inputs(int thread, const Stretch& stretch, std::size_t i, std::uint64_t step) {
        Tier& tier = tiers_[i];
        Recurrent& layer = tier.layers[0];
        if (i > 0) layer.add_gates(thread, tier.conditioned.of(stretch, step, 1));
        layer.add_codes(thread, tier.frames, codes(stretch).from(stretch.place(step, tier.frame)));
        if (condition_) layer.add_gates(thread, tier.entering);
    }

    // All steps at once, or one after the other where a thread's own streams do not lie behind one another.
    void condition(int thread, const Stretch& stretch, const Tier& slower, const Tier& tier) const {
        const std::uint64_t first = stretch.first_step(slower.frame) * slower.upsampled.ratio();
        const int steps = stretch.steps(slower.frame) * slower.upsampled.ratio(), at_once = team_.apart() ? 1 : steps;
        for (int k = 0; k < steps; k += at_once)
            tier.conditioning.apply(thread, slower.upsampled.of(stretch, first + k, at_once),
                                    tier.conditioned.of(stretch, first + k, at_once));
    }

    void step_samples(int thread, const Stretch& stretch) {
        const int vectors = stretch.samples * streams_;
        const VectorsView hidden = hidden_.slice(0, vectors), second = second_hidden_.slice(0, vectors);
        const VectorsView above = tiers_.back().upsampled.of(stretch, stretch.clock, stretch.samples);
        samples_.apply(thread, codes(stretch), above, hidden);
        if (condition_) add(runtime_, thread, entering_, hidden);
        if (prediction_) forecast_.add(thread, prediction_->numbers(), hidden);
        relu(runtime_, thread, hidden, hidden);
        team_.arrive_and_wait(thread);
        second_.apply(thread, hidden, second);
        team_.arrive_and_wait(thread);
        head_.apply(thread, second, outputs_.slice(0, vectors));
        team_.arrive_and_wait(thread);
    }

    std::vector<Tier> tiers_;
    CodeImage samples_;
    VectorsView entering_;  // what the condition adds to the first hidden layer
    CodeImage forecast_;    // what the forecast adds likewise
    Dense second_, head_;
    Vectors hidden_, second_hidden_;
};

}  // namespace

std::unique_ptr<Network> make_sample_rnn(const BuildContext& context, const Config& config) {
    return std::make_unique<SampleRnn>(context, Fields(config));
}

}  // namespace wavewright
