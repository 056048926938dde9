"""Chat formats of different families, written here twice: as Jinja, and as what the pieces of a chat should be."""

from collections.abc import Callable, Sequence

Message = dict[str, str]
Pieces = list[tuple[str, bool]]
"""Text, and whether the assistant has written it."""
SPECIAL = (
    *("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<|eot_id|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<bos>", "<start_of_turn>", "<end_of_turn>"),
)

TEMPLATES = {
    "chatml": """{%- for m in messages -%}
{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' -}}
{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}""",
    "inst": """{%- set folded = namespace(text='') -%}{%- for m in messages -%}
{%- if m.role == 'system' -%}{%- set folded.text = '<<SYS>>\n' + m.content + '\n<</SYS>>\n\n' -%}
{%- elif m.role == 'user' -%}{{- '<s>[INST] ' + folded.text + m.content.strip() + ' [/INST]' -}}
{%- set folded.text = '' -%}
{%- else -%}{{- ' ' + m.content.strip() + ' </s>' -}}{%- endif -%}{%- endfor -%}""",
    "headers": """{%- for m in messages -%}{%- if loop.first -%}{{- '<|begin_of_text|>' -}}{%- endif -%}
{{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' -}}
{%- endfor -%}{%- if add_generation_prompt -%}
{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}{%- endif -%}""",
    "bars": """{%- for m in messages -%}{{- '<|' + m.role + '|>\n' + m.content + '<|end|>\n' -}}{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>\n' -}}{%- else -%}{{- '</s>' -}}{%- endif -%}""",
    "turns": """{{- '<bos>' -}}{%- set first = namespace(text='') -%}{%- for m in messages -%}
{%- if m.role == 'system' -%}{%- set first.text = m.content + '\n\n' -%}
{%- else -%}{%- if m.role == 'assistant' -%}{%- set who = 'model' -%}{%- else -%}{%- set who = m.role -%}{%- endif -%}
{{- '<start_of_turn>' + who + '\n' + first.text + m.content | trim + '<end_of_turn>\n' -}}
{%- set first.text = '' -%}{%- endif -%}{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\n' -}}{%- endif -%}""",
    "no prompt": """{%- for m in messages -%}{{- '### ' + m.role + '\n' + m.content + '\n###\n' -}}{%- endfor -%}""",
    "marked": """{%- for m in messages -%}{{- '<|' + m.role + '|>\n' -}}{%- if m.role == 'assistant' -%}
{%- generation -%}{{- m.content + '<|end|>' -}}{%- endgeneration -%}{{- '\n' -}}
{%- else -%}{{- m.content + '<|end|>\n' -}}{%- endif -%}{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>\n' -}}{%- endif -%}""",
    "marked without end": """{%- for m in messages -%}{{- '<|' + m.role + '|>\n' -}}{%- if m.role == 'assistant' -%}
{%- generation -%}{{- m.content -}}{%- endgeneration -%}
{%- else -%}{{- m.content -}}{%- endif -%}{{- '<|end|>\n' -}}{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>\n' -}}{%- endif -%}""",
}


def chatml(messages: Sequence[Message]) -> Pieces:
    found: Pieces = []
    for m in messages:
        learned = m["role"] == "assistant"
        found += [(f"<|im_start|>{m['role']}\n", False), (f"{m['content']}<|im_end|>", learned), ("\n", False)]
    return found


def inst(messages: Sequence[Message]) -> Pieces:
    found: Pieces = []
    system = ""
    for m in messages:
        if m["role"] == "system":
            system = f"<<SYS>>\n{m['content']}\n<</SYS>>\n\n"
        elif m["role"] == "user":
            found.append((f"<s>[INST] {system}{m['content'].strip()} [/INST]", False))
            system = ""
        else:
            found.append((f" {m['content'].strip()} </s>", True))
    return found


def headers(messages: Sequence[Message]) -> Pieces:
    found: Pieces = [("<|begin_of_text|>", False)]
    for m in messages:
        head = f"<|start_header_id|>{m['role']}<|end_header_id|>\n\n"
        found += [(head, False), (f"{m['content'].strip()}<|eot_id|>", m["role"] == "assistant")]
    return found


def bars(messages: Sequence[Message]) -> Pieces:
    return [*marked(messages), ("</s>", False)]


def marked(messages: Sequence[Message]) -> Pieces:
    found: Pieces = []
    for m in messages:
        learned = m["role"] == "assistant"
        found += [(f"<|{m['role']}|>\n", False), (f"{m['content']}<|end|>", learned), ("\n", False)]
    return found


def turns(messages: Sequence[Message]) -> Pieces:
    found: Pieces = [("<bos>", False)]
    system = ""
    for m in messages:
        if m["role"] == "system":
            system = f"{m['content']}\n\n"
            continue
        learned = m["role"] == "assistant"
        head = f"<start_of_turn>{'model' if learned else 'user'}\n{system}"
        found += [(head, False), (f"{m['content'].strip()}<end_of_turn>", learned), ("\n", False)]
        system = ""
    return found


def no_prompt(messages: Sequence[Message]) -> Pieces:
    found: Pieces = []
    for m in messages:
        learned = m["role"] == "assistant"
        found += [(f"### {m['role']}\n", False), (f"{m['content']}\n###", learned), ("\n", False)]
    return found


PIECES: dict[str, Callable[[Sequence[Message]], Pieces]] = {
    "chatml": chatml,
    "inst": inst,
    "headers": headers,
    "bars": bars,
    "turns": turns,
    "no prompt": no_prompt,
    "marked": marked,
    "marked without end": marked,
}
