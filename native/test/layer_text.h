// Layers of a recipe as JSON text, and networks that use every way of nesting.
#pragma once

#include <string>
#include <vector>

namespace convsweep::test {

inline std::string joined(const std::vector<std::string>& layers) {
  std::string text = "[";
  for (const std::string& layer : layers) text += (text.size() > 1 ? "," : "") + layer;
  return text + "]";
}

inline std::string conv_text(int filters, int kernel, int stride = 1, bool bias = false) {
  const std::string k = std::to_string(kernel), s = std::to_string(stride), p = std::to_string(kernel / 2);
  return R"({"op":"conv2d","filters":)" + std::to_string(filters) + R"(,"kernel":[)" + k + "," + k + R"(],"stride":[)" +
         s + "," + s + R"(],"padding":[)" + p + "," + p + R"(],"groups":1,"bias":)" + (bias ? "true" : "false") +
         R"(,"init":"he_normal"})";
}

inline std::string residual_text(const std::vector<std::string>& body, const std::vector<std::string>& shortcut = {}) {
  return R"({"op":"residual","body":)" + joined(body) + R"(,"shortcut":)" + joined(shortcut) + "}";
}

inline std::string branches_text(const std::vector<std::vector<std::string>>& branches) {
  std::vector<std::string> lists;
  for (const auto& branch : branches) lists.push_back(joined(branch));
  return R"({"op":"branches","branches":)" + joined(lists) + "}";
}

inline std::string plain_text(const std::string& op) { return R"({"op":")" + op + R"("})"; }
inline const std::string norm_text = R"({"op":"batch_norm","momentum":0.1,"epsilon":1e-5})";
inline const std::string relu_text = plain_text("relu");
inline const std::string dropout_text = R"({"op":"dropout","rate":0.25})";
inline const std::string max_pool_text = R"({"op":"max_pool2d","size":[3,3],"stride":[1,1],"padding":[1,1]})";
inline const std::string linear4_text = R"({"op":"linear","units":4,"bias":true,"init":"torch_uniform"})";

struct NestedNetwork {
  const char* name;
  std::string layers;
};

// For images of 2x6x6 and four classes.
inline std::vector<NestedNetwork> nested_networks() {
  const std::string end = plain_text("global_avg_pool2d");
  const std::string tanh = plain_text("tanh"), flatten = plain_text("flatten");
  const std::string basic = residual_text({conv_text(3, 3), norm_text, relu_text, conv_text(3, 3), norm_text});
  const std::string strided = residual_text({conv_text(4, 3, 2), norm_text, relu_text, conv_text(4, 3), norm_text},
                                            {conv_text(4, 1, 2), norm_text});
  const auto closed = [&](std::vector<std::string> layers) {
    layers.insert(layers.end(), {end, flatten, linear4_text});
    return joined(layers);
  };
  return {
      {"identity and projection", closed({conv_text(3, 3), norm_text, relu_text, basic, relu_text, strided, relu_text})},
      {"activation before", closed({conv_text(3, 3), norm_text, relu_text,
                                    residual_text({conv_text(3, 3), norm_text, relu_text, conv_text(3, 3)}), norm_text,
                                    relu_text, residual_text({conv_text(4, 3)}, {conv_text(4, 1)})})},
      {"branches", closed({conv_text(3, 3), relu_text,
                           branches_text({{conv_text(2, 1), norm_text, relu_text},
                                          {conv_text(2, 1), relu_text, conv_text(3, 3), relu_text},
                                          {max_pool_text, conv_text(1, 1, 1, true), tanh}}),
                           norm_text, relu_text, conv_text(3, 3)})},
      {"dense: the input among the branches",
       closed({conv_text(2, 3), branches_text({{}, {norm_text, relu_text, conv_text(2, 3)}}),
               branches_text({{}, {norm_text, relu_text, conv_text(2, 3)}}), norm_text, relu_text})},
      {"the same value twice, and in two joins",
       closed({conv_text(2, 3), relu_text, branches_text({{}, {}, {conv_text(1, 1)}}),
               residual_text({branches_text({{}, {branches_text({{conv_text(1, 1)}, {conv_text(2, 1)}})}})},
                             {branches_text({{}, {conv_text(3, 3)}})}),
               relu_text, dropout_text})},
      {"residuals within residuals, in place where it must not be",
       closed({conv_text(3, 3), norm_text,
               residual_text({relu_text, residual_text({dropout_text, conv_text(3, 3)}, {tanh}), tanh},
                             {residual_text({relu_text}), dropout_text}),
               tanh})},
      {"on the image itself, before any parameter",
       closed({branches_text({{}, {relu_text}, {max_pool_text}}), residual_text({relu_text}), conv_text(3, 3)})},
      {"flat", joined({flatten, residual_text({flatten}), linear4_text,
                       residual_text({tanh, linear4_text}, {linear4_text, norm_text}), residual_text({tanh}),
                       residual_text({flatten})})},
  };
}

}  // namespace convsweep::test
