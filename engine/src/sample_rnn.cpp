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
    CodeImage frames;             // the frame's part of the first layer's gates
    VectorsView entering;         // the condition's part of those gates
    Dense conditioning;           // from the slower tier's output to those gates, not in the slowest tier
    Vectors conditioned;          // its output: (steps of this tier in a step of the slower one, streams)
    std::vector<Dense> upsample;  // for each step of the faster tier
    Vectors upsampled;            // (steps of the faster tier, streams)
};

class SampleRnn : public Network {
public:
    SampleRnn(const BuildContext& context, const Fields& fields)
        : Network(context, std::max(fields.frame_sizes[0], fields.window)),
          hidden_(streams_, fields.units),
          second_hidden_(streams_, fields.units) {
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
    void predict(int thread, std::uint64_t clock, bool wanted) override {
        for (std::size_t i = 0; i < tiers_.size(); i++)
            if (clock % tiers_[i].frame == 0) step_tier(thread, clock, i);
        if (wanted) step_samples(thread, clock);
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
            tier.layers.emplace_back(context, cell);
            add_state(tier.layers[j].state());
            add_work(tier.layers[j].cost(), 1.0 / tier.frame);
        }
        const int ratio = fastest ? tier.frame : tier.frame / fields.frame_sizes[i + 1];
        const Matrix up = context.weight(name + ".upsample.weight", ratio * units, units);
        const Matrix up_bias = context.weight(name + ".upsample.bias", ratio * units);
        for (int k = 0; k < ratio; k++) {
            const Matrix part = rows_of(up, k * units, units), part_bias = rows_of(up_bias, k * units, units);
            tier.upsample.push_back(fastest ? Dense(context, hidden * part, hidden * part_bias + hidden_bias)
                                            : Dense(context, part, part_bias));
            add_work(tier.upsample[k].cost(), 1.0 / tier.frame);
        }
        tier.upsampled = Vectors(ratio * streams_, units);
        add_state({tier.upsampled.bytes()});
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
            const int slower = fields.frame_sizes[i - 1], vectors = slower / tier.frame * streams_;
            frames = cell.input * context.weight(name + ".weight", fields.units, tier.frame);
            cell.bias = cell.bias + cell.input * context.weight(name + ".bias", fields.units);
            tier.conditioning = Dense(context, cell.input, Matrix(), {.groups = Cell::kGates, .vectors = vectors});
            tier.conditioned = Vectors(vectors, cell.input.rows);
            add_state({tier.conditioned.bytes()});
            add_work(tier.conditioning.cost(), 1.0 / tier.frame, 1.0 / slower);
        }
        if (condition_) tier.entering = add_entry(context, condition, Cell::kGates);
        tier.frames = CodeImage(context, frames, {.scale = fields.frame_scale, .groups = Cell::kGates});
        cell.input = Matrix();
    }

    void step_tier(int thread, std::uint64_t clock, std::size_t i) {
        Tier& tier = tiers_[i];
        const std::uint64_t step = clock / tier.frame;
        VectorsView x;
        for (std::size_t j = 0; j < tier.layers.size(); j++) {
            Recurrent& layer = tier.layers[j];
            layer.start(thread, step);
            if (j > 0) {
                team_.wait(thread);
                layer.add_input(thread, x);
            } else {
                if (i > 0) layer.add_gates(thread, of_step(tier.conditioned, clock % tiers_[i - 1].frame / tier.frame));
                layer.add_codes(thread, tier.frames, past_codes_);
                if (condition_) layer.add_gates(thread, tier.entering);
            }
            layer.finish(thread, step);
            team_.arrive(thread);
            x = layer.hidden(step + 1);
        }
        team_.wait(thread);
        const Operand operand = tier.upsample[0].operand(thread, x);
        for (std::size_t k = 0; k < tier.upsample.size(); k++)
            tier.upsample[k].apply(thread, operand, of_step(tier.upsampled, k));
        if (i + 1 == tiers_.size()) return;  // The sample tier goes on with this thread's own rows.
        team_.arrive_and_wait(thread);
        condition(thread, tier, tiers_[i + 1]);
    }

    // All steps at once, or one after the other where a thread's own streams do not lie behind one another.
    void condition(int thread, const Tier& slower, const Tier& tier) const {
        const int vectors = slower.upsampled.count, at_once = team_.apart() ? streams_ : vectors;
        for (int first = 0; first < vectors; first += at_once)
            tier.conditioning.apply(thread, slower.upsampled.slice(first, at_once),
                                    tier.conditioned.slice(first, at_once));
    }

    void step_samples(int thread, std::uint64_t clock) {
        const Tier& fastest = tiers_.back();
        samples_.apply(thread, past_codes_, of_step(fastest.upsampled, clock % fastest.frame), hidden_);
        if (condition_) add(runtime_, thread, entering_, hidden_);
        if (prediction_) forecast_.add(thread, prediction_->numbers(), hidden_);
        relu(runtime_, thread, hidden_, hidden_);
        team_.arrive_and_wait(thread);
        second_.apply(thread, hidden_, second_hidden_);
        team_.arrive_and_wait(thread);
        head_.apply(thread, second_hidden_, outputs_);
        team_.arrive_and_wait(thread);
    }

    VectorsView of_step(const Vectors& vectors, std::uint64_t k) const {
        return vectors.slice(static_cast<int>(k) * streams_, streams_);
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
