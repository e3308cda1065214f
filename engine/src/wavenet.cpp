// WaveNet (thesis 3.3, arXiv:1609.03499): dilated causal convolutions. A step costs one column (arXiv:1611.09482).
//
// A layer's past taps and the skip path of the layer before do not depend on the present sample. So a thread computes
// them while it waits for the other threads. Past taps of some samples to come are computed with them.
#include <algorithm>

#include "convolution.hpp"
#include "dense.hpp"
#include "elementwise.hpp"
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
    Convolution convolution;
    Dense residual, skip;  // gated form only
    VectorsView entering;  // what the condition adds to the convolution
};

class WaveNet : public Network {
public:
    WaveNet(const BuildContext& context, const Fields& fields)
        : Network(context, 1),
          gated_(fields.gated),
          rooms_{Vectors(vectors_, fields.channels), Vectors(vectors_, fields.channels)},
          sums_(vectors_, (gated_ ? 2 : 1) * fields.channels),
          top_(vectors_, fields.channels),
          gates_{Vectors(vectors_, fields.channels), Vectors(vectors_, fields.channels)},
          skips_(vectors_, fields.skip_channels),
          middle_output_(vectors_, fields.skip_channels) {
        const int channels = fields.channels, skip = fields.skip_channels, layers = fields.blocks * fields.layers;
        input_ = input_of(context, fields);
        for (int i = 0, dilation = 1; i < layers; i++, dilation *= fields.filter_width) {
            if (i % fields.layers == 0) dilation = 1;
            add_layer(context, fields, i, dilation, i + 1 == layers);
        }
        const int groups = gated_ ? 2 : 1;
        if (condition_) add_entries(context, groups * channels);
        if (prediction_) forecast_ = prediction_->image(context, identity(groups * channels), groups);
        if (gated_) {
            middle_ = Dense(context, context.weight("output.1.weight", skip, skip),
                            context.weight("output.1.bias", skip), {.relu = true});
            add_work(middle_.cost());
        }
        const std::string head = gated_ ? "output.3" : "output";
        head_ = Dense(context, context.weight(head + ".weight", output_count_, gated_ ? skip : channels),
                      context.weight(head + ".bias", output_count_));
        add_work(head_.cost());
    }

    // Endless silence leaves every layer's response to a constant input in the rings.
    void reset() override { step_layers(0, {0, 1}, true); }

protected:
    void predict(int thread, const Stretch& stretch, bool wanted) override {
        step_layers(thread, stretch, false);
        if (wanted) step_head(thread, stretch.samples * streams_);
    }

private:
    CodeImage input_of(const BuildContext& context, const Fields& fields) const {
        const int channels = fields.channels;
        if (!gated_) return CodeImage(context, identity(1), CodeImageOptions{});
        if (fields.embedded)
            return CodeImage(context, identity(channels), {.embedding = context.embedding("input", channels)});
        return CodeImage(context, context.weight("input.weight", channels, 1),
                         {.bias = context.weight("input.bias", channels)});
    }

    void add_layer(const BuildContext& context, const Fields& fields, int i, int dilation, bool last) {
        const std::string name = "layers." + std::to_string(i);
        const int channels = fields.channels, skip = fields.skip_channels, taps = fields.filter_width;
        const int groups = gated_ ? 2 : 1, rows = groups * channels, inputs = !gated_ && i == 0 ? 1 : channels;
        const Matrix bias = gated_ ? context.weight(name + ".bias", rows) : Matrix();
        Layer layer{Convolution(context, name + ".weight", {rows, inputs, taps, dilation, groups}, bias), {}, {}, {}};
        add_state({layer.convolution.state()});
        add_work(layer.convolution.past(), 1, 1.0 / layer.convolution.turn());
        add_work(layer.convolution.present());
        if (gated_) {
            const Matrix out = context.tap_weight(name + ".out_weight", channels + skip, channels, 1, 0);
            const Matrix out_bias = context.weight(name + ".out_bias", channels + skip);
            if (!last) layer.residual = Dense(context, rows_of(out, 0, channels), rows_of(out_bias, 0, channels));
            layer.skip = Dense(context, rows_of(out, channels, skip), rows_of(out_bias, channels, skip));
            add_work(layer.residual.cost());
            add_work(layer.skip.cost());
        }
        layers_.push_back(std::move(layer));
    }

    // A condition enters every layer before its non-linearity, by rows of one matrix.
    void add_entries(const BuildContext& context, int rows) {
        const int layers = static_cast<int>(layers_.size());
        const Matrix all = context.weight("condition.weight", layers * rows, condition_->width());
        for (int i = 0; i < layers; i++)
            layers_[i].entering = add_entry(context, rows_of(all, i * rows, rows), gated_ ? 2 : 1);
    }

    void step_layers(int thread, const Stretch& stretch, bool silent) {
        const int vectors = stretch.samples * streams_;
        const VectorsView sums = sums_.slice(0, vectors);
        VectorsView x = layers_[0].convolution.inputs(stretch, rooms_[0]);
        if (thread == 0 || team_.apart()) input_.apply_alone(thread, codes(stretch), x);
        team_.arrive(thread);
        VectorsView before;  // the inputs of the layer before
        for (std::size_t i = 0; i < layers_.size(); i++) {
            Layer& layer = layers_[i];
            if (silent) layer.convolution.fill_past();
            const bool last = i + 1 == layers_.size();
            const VectorsView y = last ? top_.slice(0, vectors)
                                       : layers_[i + 1].convolution.inputs(stretch, rooms_[(i + 1) % 2]);
            if (stretch.samples > 1) team_.wait(thread);  // Its past taps may read the inputs.
            if (i > 0) layers_[i - 1].convolution.keep(thread, stretch, before);
            layer.convolution.start(thread, stretch, x, sums);
            if (condition_ && !silent) add(runtime_, thread, layer.entering, sums);
            if (prediction_ && !silent && i == 0) forecast_.add(thread, prediction_->numbers(), sums);
            if (gated_ && i > 0) add_skip(thread, i - 1, vectors);
            if (stretch.samples == 1) team_.wait(thread);
            layer.convolution.finish(thread, x, sums);
            if (gated_) {
                const VectorsView z = gates_[i % 2].slice(0, vectors);
                gate(runtime_, thread, sums, z);
                team_.arrive_and_wait(thread);
                if (!last) {
                    layer.residual.apply(thread, z, y);
                    add(runtime_, thread, x, y);
                }
            } else {
                relu(runtime_, thread, sums, y);
            }
            team_.arrive(thread);
            before = x;
            x = y;
        }
        if (gated_) add_skip(thread, layers_.size() - 1, vectors);
        team_.wait(thread);
        layers_.back().convolution.keep(thread, stretch, before);
    }

    void add_skip(int thread, std::size_t i, int vectors) {
        const VectorsView z = gates_[i % 2].slice(0, vectors), skips = skips_.slice(0, vectors);
        if (i == 0)
            layers_[i].skip.apply(thread, z, skips);
        else
            layers_[i].skip.add(thread, z, skips);
    }

    void step_head(int thread, int vectors) {
        VectorsView x = top_.slice(0, vectors);
        if (gated_) {
            const VectorsView skips = skips_.slice(0, vectors);
            relu(runtime_, thread, skips, skips);
            team_.arrive_and_wait(thread);
            x = middle_output_.slice(0, vectors);
            middle_.apply(thread, skips, x);
            team_.arrive_and_wait(thread);
        }
        head_.apply(thread, x, outputs_.slice(0, vectors));
        team_.arrive_and_wait(thread);
    }

    bool gated_;
    CodeImage input_;
    CodeImage forecast_;  // what the forecast adds to the first layer's convolution
    std::vector<Layer> layers_;
    Dense middle_, head_;
    Vectors rooms_[2];  // a layer's inputs and its outputs, of several samples
    Vectors sums_;      // a layer's convolution
    Vectors top_;       // the last layer's output, in the plain form
    Vectors gates_[2];  // a layer's and the one before's, whose skip path may not be summed yet
    Vectors skips_;     // the sum of all skip paths
    Vectors middle_output_;
};

}  // namespace

std::unique_ptr<Network> make_wavenet(const BuildContext& context, const Config& config) {
    return std::make_unique<WaveNet>(context, Fields(config));
}

}  // namespace wavewright
