"""A plugin of pytest that writes down the templates of Jinja2's own suite: each that a test renders, with
its variables where JSON has them, a line of JSON each, to the file that TEMPLATES names."""

import json
import os

import jinja2

seen = set()
from_string = jinja2.Environment.from_string
render = jinja2.Template.render


def keep(source, variables):
    try:
        line = json.dumps({"template": source, "variables": variables})
        if json.loads(line)["variables"] != variables:
            return
    except (TypeError, ValueError):
        line = json.dumps({"template": source, "variables": {}})
    if line not in seen:
        seen.add(line)
        with open(os.environ["TEMPLATES"], "a") as file:
            file.write(line + "\n")


def recording(self, source, *arguments, **named):
    template = from_string(self, source, *arguments, **named)
    if isinstance(source, str):
        template.recorded_source = source
        keep(source, {})
    return template


def recording_render(self, *arguments, **named):
    if hasattr(self, "recorded_source"):
        keep(self.recorded_source, dict(*arguments, **named))
    return render(self, *arguments, **named)


jinja2.Environment.from_string = recording
jinja2.Template.render = recording_render
