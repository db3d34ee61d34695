/// Qwen 3 and 3-VL: the queries and keys of every head are normalised before the rotation. Positions of text are equal on
/// all axes of an image, and only images have inputs for several layers.
extension DecoderArchitecture {
  static let qwen3 = grouped("qwen3", norms: .perHead)
  static let qwen3vl = grouped("qwen3vl", honoured: ["n_deepstack_layers"], norms: .perHead)
}
