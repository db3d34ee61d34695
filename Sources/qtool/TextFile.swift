import Perplexity
import Tensors
import Tokenizers

/// A text file's contents.
func readText(_ path: String) throws -> String {
  let file = try PositionedFile(path: path)
  let bytes = try file.bytes(in: 0..<file.size)
  // Calibration and evaluation text is read as llama.cpp reads it: bytes that are no UTF-8 become U+FFFD.
  return String(decoding: bytes, as: UTF8.self)
}

extension TextOptions {
  /// The windows of all texts as this model sees them.
  func windows(_ tokenizer: Tokenizer) throws -> ScoringWindows {
    ScoringWindows(
      joining: try text.map { path in
        try ScoringWindows(
          tokens: tokenizer.encode(try readText(path)), context: ctx, bos: tokenizer.addsBOS ? tokenizer.bos : nil,
          stride: stride, limit: chunks, name: path, kind: nil)
      })
  }
}
