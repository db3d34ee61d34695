/// The text format of conversations for a model.
///
/// A chat template is a program. Most produce one of a few formats, which are recognised by their markers.
public enum ChatFormat: Sendable, CaseIterable {
  /// `<|im_start|>role … <|im_end|>` (ChatML: Qwen and many others).
  case chatML
  /// `<|start_header_id|>role<|end_header_id|> … <|eot_id|>` (Llama 3).
  case llama3
  /// `<｜User｜> … <｜Assistant｜> … <｜end▁of▁sentence｜>` (DeepSeek).
  case deepSeek
  /// `[INST] … [/INST]` (Mistral, Llama 2).
  case instruct
  /// The contents only, separated by blank lines.
  case plain

  /// A message of a conversation.
  struct Turn: Sendable, Equatable {
    let role: String
    let content: String
  }

  /// The format of a template (`tokenizer.chat_template`); ``plain`` if it is nil or unknown.
  public init(template: String?) {
    let markers: [(String, ChatFormat)] = [
      ("<|im_start|>", .chatML), ("<|start_header_id|>", .llama3), ("<｜User｜>", .deepSeek), ("[INST]", .instruct),
    ]
    self = markers.first { template?.contains($0.0) == true }?.1 ?? .plain
  }

  /// The text of a conversation.
  func text(_ turns: [Turn]) -> String {
    switch self {
    case .plain: turns.map { $0.content + "\n\n" }.joined()
    case .chatML: turns.map { "<|im_start|>\($0.role)\n\($0.content)<|im_end|>\n" }.joined()
    case .llama3:
      turns.map { "<|start_header_id|>\($0.role)<|end_header_id|>\n\n\($0.content)<|eot_id|>" }.joined()
    case .deepSeek:
      turns.map { turn in
        switch turn.role {
        case "user": "<｜User｜>\(turn.content)"
        case "assistant": "<｜Assistant｜>\(turn.content)<｜end▁of▁sentence｜>"
        default: turn.content
        }
      }.joined()
    case .instruct:
      turns.map { $0.role == "assistant" ? " \($0.content)</s>" : "[INST] \($0.content) [/INST]" }.joined()
    }
  }
}
