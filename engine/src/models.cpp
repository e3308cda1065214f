// The table of models. A new model is a .cpp of its own and an entry here.
#include "models.hpp"

#include <string_view>

namespace wavewright {

using Factory = std::unique_ptr<Network>(const BuildContext&, const Config&);

Factory make_linear_rnn, make_naive_rnn, make_sample_rnn, make_wavenet;  // each at the end of the model's own .cpp

namespace {

struct Model {
    std::string_view name;  // as in Python
    Factory* make;
};

constexpr Model kModels[] = {
    {"linear-rnn", make_linear_rnn},
    {"naive-rnn", make_naive_rnn},
    {"sample-rnn", make_sample_rnn},
    {"wavenet", make_wavenet},
};

}  // namespace

std::unique_ptr<Network> make_network(const BuildContext& context, const Config& config) {
    for (const Model& model : kModels)
        if (model.name == config.model) return model.make(context, config);
    throw Error("model: the engine knows no '" + config.model + "'");
}

}  // namespace wavewright
