// LinearRNN (models/linear_rnn): tiers of gated linear recurrences over frames of codes.
//
// A tier's input matrix is folded into tables of the codes at each place of its frame. Its bias is folded into what the
// slower tier gives. Each thread normalises its own copy of a vector, which is quicker than a barrier.
#include <algorithm>

#include "dense.hpp"
#include "diagonal.hpp"
#include "elementwise.hpp"
#include "network.hpp"
#include "upsampling.hpp"

namespace wavewright {
namespace {

struct Fields {
    std::vector<int> frame_sizes, widths, blocks;
    int modes, window, embedding;

    explicit Fields(const Config& config)
        : frame_sizes(config.sizes("frame_sizes")),
          widths(config.sizes("widths")),
          blocks(config.sizes("blocks")),
          modes(config.size("modes")),
          window(config.size("window")),
          embedding(config.size("embedding")) {
        if (widths.size() != frame_sizes.size() || blocks.size() != frame_sizes.size())
            throw Error("frame_sizes, widths, blocks: not of the same number of tiers");
        for (std::size_t i = 1; i < frame_sizes.size(); i++)
            if (frame_sizes[i - 1] % frame_sizes[i]) throw Error("frame_sizes: they do not divide one another");
        if (frame_sizes.back() != 1) throw Error("frame_sizes: the last is not 1");
    }
    bool slow(std::size_t i) const { return i + 1 < frame_sizes.size(); }
    int reach(std::size_t i) const { return slow(i) ? frame_sizes[i] : window; }
    int past() const { return std::max(frame_sizes[0], window); }
};

struct Block {
    Diagonal diagonal;
    Dense gate;
    VectorsView entering;  // what the condition adds before the gate
    Dense hidden, output;  // the feed-forward network, in slow tiers only
};

struct Tier {
    int frame, width;
    CodeImage codes;  // the image of the codes that a step reads
    std::vector<Block> blocks;
    Upsampling upsampled;        // to the steps of the faster tier, in slow tiers only
    Vectors x, y, sums, hidden;  // of the steps of a stretch
    std::vector<Vectors> unit;   // of each thread: x, normalised
    Vectors round;               // the inputs of one stream while the slowest tier makes a step, for reset
};

class LinearRnn : public Network {
public:
    LinearRnn(const BuildContext& context, const Fields& fields)
        : Network(context, fields.past()), bias_(streams_, fields.widths[0]) {
        const Embedding table = context.embedding("embedding", fields.embedding);
        for (std::size_t i = 0; i < fields.widths.size(); i++) add_tier(context, fields, i, table);
        const Matrix bias = context.weight("tiers.0.input.bias", fields.widths[0]);
        for (int s = 0; s < streams_; s++)
            for (int row = 0; row < bias.rows; row++) bias_[s][row] = static_cast<float>(bias(row, 0));
        if (prediction_) forecast_ = prediction_->image(context, identity(fields.widths.back()));
        head_ = Dense(context, context.weight("output.weight", output_count_, fields.widths.back()),
                      context.weight("output.bias", output_count_));
        add_work(head_.cost());
    }

    // Endless silence leaves every tier in a round that repeats itself with each step of the slowest.
    void reset() override {
        for (int i = 0; i < bias_.stride; i++) tiers_[0].round[0][i] = bias_[0][i];
        for (std::size_t i = 0; i < tiers_.size(); i++) settle(i);
    }

protected:
    void predict(int thread, const Stretch& stretch, bool wanted) override {
        for (std::size_t i = 0; i < tiers_.size(); i++)
            if (stretch.steps(tiers_[i].frame)) step_tier(thread, stretch, i);
        for (const Tier& tier : tiers_)
            if (!tier.upsampled.empty()) tier.upsampled.keep(thread, stretch);
        if (!wanted) return;
        const int vectors = stretch.samples * streams_;
        const Tier& fastest = tiers_.back();
        head_.apply(thread, unit_of(thread, fastest, fastest.x.slice(0, vectors)), outputs_.slice(0, vectors));
        team_.arrive_and_wait(thread);
    }

private:
    void add_tier(const BuildContext& context, const Fields& fields, std::size_t i, const Embedding& table) {
        const std::string name = "tiers." + std::to_string(i);
        const int width = fields.widths[i], frame = fields.frame_sizes[i], period = fields.frame_sizes[0] / frame;
        Tier tier;
        tier.frame = frame;
        tier.width = width;
        const Matrix input = context.weight(name + ".input.weight", width, fields.reach(i) * fields.embedding);
        tier.codes = CodeImage(context, input, {.embedding = table});
        for (int j = 0; j < fields.blocks[i]; j++) {
            tier.blocks.push_back(block_of(context, name + ".blocks." + std::to_string(j), fields, i));
            const Block& block = tier.blocks[j];
            add_state({block.diagonal.state()});
            for (const Cost& cost : {block.diagonal.cost(), block.gate.cost(), block.hidden.cost(), block.output.cost()})
                add_work(cost, 1.0 / frame);
        }
        if (fields.slow(i)) add_upsample(context, fields, i, tier);
        const int vectors = ((runtime_.samples - 1) / frame + 1) * streams_;
        for (Vectors* work : {&tier.x, &tier.y}) *work = Vectors(vectors, width);
        for (Vectors* work : {&tier.sums, &tier.hidden}) *work = Vectors(vectors, 2 * width);
        for (int thread = 0; thread < team_.size(); thread++) tier.unit.emplace_back(vectors, width);
        tier.round = Vectors(period, width);
        tiers_.push_back(std::move(tier));
    }

    Block block_of(const BuildContext& context, const std::string& name, const Fields& fields, std::size_t i) {
        const int width = fields.widths[i], period = fields.frame_sizes[0] / fields.frame_sizes[i];
        Block block{Diagonal(context, name + ".diagonal", width, fields.modes, period),
                    Dense(context, context.weight(name + ".gate.weight", 2 * width, width),
                          context.weight(name + ".gate.bias", 2 * width), {.groups = 2}),
                    {},
                    {},
                    {}};
        if (condition_)
            block.entering =
                add_entry(context, context.weight(name + ".condition.weight", 2 * width, condition_->width()), 2);
        if (fields.slow(i)) {
            block.hidden = Dense(context, context.weight(name + ".hidden.weight", 2 * width, width),
                                 context.weight(name + ".hidden.bias", 2 * width));
            block.output = Dense(context, context.weight(name + ".output.weight", width, 2 * width),
                                 context.weight(name + ".output.bias", width));
        }
        return block;
    }

    void add_upsample(const BuildContext& context, const Fields& fields, std::size_t i, Tier& tier) {
        const std::string name = "tiers." + std::to_string(i) + ".upsample";
        const int next = fields.widths[i + 1], ratio = tier.frame / fields.frame_sizes[i + 1];
        const Matrix weight = context.weight(name + ".weight", ratio * next, tier.width);
        const Matrix bias = context.weight(name + ".bias", ratio * next);
        const Matrix next_bias = context.weight("tiers." + std::to_string(i + 1) + ".input.bias", next);
        std::vector<Dense> matrices;
        for (int k = 0; k < ratio; k++) {
            matrices.emplace_back(context, rows_of(weight, k * next, next), rows_of(bias, k * next, next) + next_bias);
            add_work(matrices[k].cost(), 1.0 / tier.frame);
        }
        tier.upsampled = Upsampling(runtime_, tier.frame, std::move(matrices), next);
        add_state({tier.upsampled.state()});
    }

    // Makes the steps of a tier that begin in the stretch.
    void step_tier(int thread, const Stretch& stretch, std::size_t i) {
        const Tier& tier = tiers_[i];
        const int steps = stretch.steps(tier.frame);
        const std::uint64_t first = stretch.first_step(tier.frame);
        const VectorsView above = i > 0 ? tiers_[i - 1].upsampled.of(stretch, first, steps) : bias_;
        const VectorsView x = tier.x.slice(0, steps * streams_);
        tier.codes.apply(thread, codes(stretch).from(stretch.place(first, tier.frame), tier.frame), above, x);
        if (prediction_ && i + 1 == tiers_.size()) forecast_.add(thread, prediction_->numbers(), x);
        team_.arrive_and_wait(thread);
        for (const Block& block : tier.blocks) step_block(thread, tier, block, x, condition_ != nullptr);
        if (tier.upsampled.empty()) return;
        tier.upsampled.apply(thread, stretch, unit_of(thread, tier, x));  // The next tier goes on with these rows.
    }

    // x += gate(diagonal(x)), and in slow tiers x += output(gelu(hidden(x))). Both read x normalised.
    void step_block(int thread, const Tier& tier, const Block& block, const VectorsView& x, bool conditioned) {
        const VectorsView y = tier.y.slice(0, x.count), sums = tier.sums.slice(0, x.count);
        block.diagonal.step(thread, unit_of(thread, tier, x), y);
        team_.arrive_and_wait(thread);
        block.gate.apply(thread, y, sums);
        if (conditioned) add(runtime_, thread, block.entering, sums);
        glu(runtime_, thread, sums, x);
        team_.arrive_and_wait(thread);
        if (tier.upsampled.empty()) return;
        const VectorsView hidden = tier.hidden.slice(0, x.count);
        block.hidden.apply(thread, unit_of(thread, tier, x), hidden);
        gelu(runtime_, thread, hidden);
        team_.arrive_and_wait(thread);
        block.output.add(thread, hidden, x);
        team_.arrive_and_wait(thread);
    }

    VectorsView unit_of(int thread, const Tier& tier, const VectorsView& x) const {
        const VectorsView unit = tier.unit[thread].slice(0, x.count);
        normalise(runtime_, thread, x, tier.width, unit);
        return unit;
    }

    // Turns the inputs in the tier's round into its outputs, and those into the inputs in the next tier's round.
    void settle(std::size_t i) {
        const Tier& tier = tiers_[i];
        const CodesView silence = codes({0, 1});
        const auto each = [&](auto work) {
            for (int k = 0; k < tier.round.count; k++) work(tier.round.slice(k, 1));
        };
        each([&](const VectorsView& x) {
            for (int block = 0; block < x.blocks(); block++)
                tier.codes.add_block(silence, 0, block, x[0] + block * kBlock);
        });
        for (const Block& block : tier.blocks) {
            block.diagonal.clear();
            each([&](const VectorsView& x) { block.diagonal.step(0, unit_of(0, tier, x), tier.y.slice(0, 1)); });
            block.diagonal.settle();
            each([&](const VectorsView& x) { step_block(0, tier, block, x, false); });
        }
        if (tier.upsampled.empty()) return;
        int made = 0;
        each([&](const VectorsView& x) {
            tier.upsampled.apply(0, unit_of(0, tier, x), tiers_[i + 1].round.slice(made, tier.upsampled.ratio()));
            made += tier.upsampled.ratio();
        });
    }

    std::vector<Tier> tiers_;
    Vectors bias_;  // of the slowest tier's input, for each stream
    CodeImage forecast_;  // what the forecast adds to the last tier's input
    Dense head_;
};

}  // namespace

std::unique_ptr<Network> make_linear_rnn(const BuildContext& context, const Config& config) {
    return std::make_unique<LinearRnn>(context, Fields(config));
}

}  // namespace wavewright
