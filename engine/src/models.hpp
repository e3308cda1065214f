#pragma once

#include <memory>

#include "network.hpp"

namespace wavewright {

// The network that config.model names. Throws Error for a name that is not in the table of models.
std::unique_ptr<Network> make_network(const BuildContext& context, const Config& config);

}  // namespace wavewright
