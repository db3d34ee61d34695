import Files
import Foundation
import GGUF
import Tokenizers

/// tiktoken.model: lines of a token's bytes in Base64 and its rank, which is its id. Kimi's models have it in place of
/// tokenizer.json.
///
/// The file lists no merges. A token's merge is the last one when its bytes are merged by the ranks below its own. The
/// splitter follows from the tokenizer's class.
struct TiktokenVocabulary {
  let tokenizer: TokenizerJSON
  /// llama.cpp's name of the splitter.
  let pre: String

  /// Returns nil if tiktoken.model does not exist.
  ///
  /// - Parameters:
  ///   - size: config.json's number of tokens.
  ///   - pre: llama.cpp's name of the splitter, for an unknown class.
  init?(_ files: TokenizerFiles, size: Int?, pre: String?) throws {
    guard let path = files.path("tiktoken.model") else { return nil }
    let name = files.config?["tokenizer_class"]?.string
    guard let known = pre ?? (name == "TikTokenTokenizer" ? "kimi-k2" : nil) else {
      throw FormatError(
        topic: .unknownSplitter, path: path,
        "does not say how text is split" + (name.map { ", nor does the class \($0)" } ?? ""),
        hint: "known: \(PreTokenizer.names.joined(separator: ", "))")
    }
    self.pre = known
    let ranked = try Self.read(path)
    var ranks = ByteTable(minimumCapacity: ranked.count)
    for (rank, token) in ranked.enumerated() {
      if let other = ranks.insert(token, value: Int32(rank)) {
        throw FormatError(path: path, subject: "line \(rank + 1)", "has the bytes of line \(other + 1)")
      }
    }
    var merges: [(left: String, right: String)] = []
    for (rank, token) in ranked.enumerated() where token.count > 1 {
      let parts = Self.parts(of: token, below: Int32(rank), ranks)
      guard parts.count == 2 else { continue }
      merges.append((ByteAlphabet.text(of: token[parts[0]]), ByteAlphabet.text(of: token[parts[1]])))
    }
    // The class reserves all ids behind the vocabulary; files name some of them.
    let named = Set(try files.addedTokensDecoder().map(\.id))
    let reserved = (ranked.count..<max(ranked.count, size ?? 0)).filter { !named.contains($0) }
    tokenizer = TokenizerJSON(
      path: path, vocabulary: ranked.enumerated().map { (ByteAlphabet.text(of: $1[...]), $0) }, merges: merges,
      added: reserved.map {
        AddedToken("<|reserved_token_\($0)|>", id: $0, isSpecial: true, isNormalized: false)
      })
  }

  /// The tokens in the order of their ranks.
  private static func read(_ path: String) throws -> [[UInt8]] {
    var tokens: [[UInt8]] = []
    let lines = try TextFile(path: path, limit: 256 << 20).text.split(separator: "\n")
    for (index, line) in lines.enumerated() {
      let parts = line.split(separator: " ")
      guard parts.count == 2, let data = Data(base64Encoded: String(parts[0])), !data.isEmpty,
        Int(parts[1]) == tokens.count
      else {
        throw FormatError(
          path: path, subject: "line \(index + 1)", "is not a token in Base64 and the rank \(tokens.count)")
      }
      tokens.append(Array(data))
    }
    guard !tokens.isEmpty else { throw FormatError(path: path, "holds no tokens") }
    return tokens
  }

  /// The parts into which a token's bytes are merged by ranks below a limit.
  private static func parts(of token: [UInt8], below limit: Int32, _ ranks: ByteTable) -> [Range<Int>] {
    var parts = token.indices.map { $0..<$0 + 1 }
    while parts.count > 1 {
      var best: (rank: Int32, index: Int)?
      for index in 0..<parts.count - 1 {
        let range = parts[index].lowerBound..<parts[index + 1].upperBound
        guard let rank = ranks.value(of: token, in: range), rank < limit, rank < best?.rank ?? .max else { continue }
        best = (rank, index)
      }
      guard let best else { return parts }
      parts[best.index] = parts[best.index].lowerBound..<parts[best.index + 1].upperBound
      parts.remove(at: best.index + 1)
    }
    return parts
  }
}
