# SPDX-License-Identifier: Apache-2.0
"""Writes .cog/openapi_schema.json of a predictor: what goes in and what comes out.

Runs once, as a step of the image's build, in the folder of the model: the cog package makes no
such file while it serves, and without one nothing is validated and nothing is streamed.

First only what declares something is run: imports of typing and the like, constants, classes and
signatures, all of them without their bodies, so that no model is loaded and no graphics card is
asked for. Where that is not enough the module is imported as it is.
"""

import ast
import importlib.util
import inspect
import json
import os
import sys
import traceback
import types
import typing
from collections.abc import AsyncIterator, Iterator

import cog

MOST_BYTES = 512 << 10  # what Thaw takes
DECLARING = {"cog", "typing", "typing_extensions", "enum", "dataclasses", "collections",
             "collections.abc", "pathlib", "pydantic", "__future__"}
PURE_CALLS = {"list", "dict", "tuple", "set", "sorted", "range", "len", "str", "int", "float",
              "bool", "min", "max", "Input", "keys", "values", "items", "field", "Field"}


class Wrong(Exception):
    """What is wrong with the predictor, for whoever wrote it."""


# ---- what a module declares, without what it does

def calls_of(node):
    for one in ast.walk(node):
        if isinstance(one, ast.Call):
            function = one.func
            yield function.attr if isinstance(function, ast.Attribute) else getattr(
                function, "id", "?")


def declares(node):
    if isinstance(node, ast.Import):
        return all(alias.name in DECLARING for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.level == 0 and node.module in DECLARING
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        return set(calls_of(node)) <= PURE_CALLS
    return isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))


def without_bodies(node):
    """The same class or function, of which nothing but its declarations is run."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        node.body = [ast.Expr(ast.Constant(...))]
        node.decorator_list = [one for one in node.decorator_list
                               if "streaming" in ast.dump(one) or "concurrent" in ast.dump(one)]
    elif isinstance(node, ast.ClassDef):
        node.body = [without_bodies(one) for one in node.body
                     if declares(one)] or [ast.Pass()]
    return node


def constants_in_doubt(tree):
    """Names that a loop, a condition or a call at the top of the module may change."""
    declaring = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef,
                 ast.Assign, ast.AnnAssign)
    return {one.id for node in tree.body if not isinstance(node, declaring)
            for one in ast.walk(node) if isinstance(one, ast.Name)}


def names_one_of(node, names):
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    return isinstance(node, (ast.Assign, ast.AnnAssign)) and any(
        isinstance(one, ast.Name) and one.id in names for target in targets
        for one in ast.walk(target))


def declared(path):
    """A module of the declarations of a file; what cannot be made of them is left out."""
    with open(path, "rb") as file:
        tree = ast.parse(file.read(), path)
    module = types.ModuleType("declared")
    sys.modules["declared"] = module
    future = [one for one in tree.body if isinstance(one, ast.ImportFrom)
              and one.module == "__future__"]
    in_doubt = constants_in_doubt(tree)
    for node in tree.body:
        if node in future or not declares(node) or names_one_of(node, in_doubt):
            continue
        part = ast.Module(body=future + [without_bodies(node)], type_ignores=[])
        try:
            exec(compile(ast.fix_missing_locations(part), path, "exec"), module.__dict__)
        except Exception:
            continue
    return module


def imported(path):
    name = os.path.basename(path)[:-len(".py")]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# ---- which function it is

def own_method(cls, name):
    bases = (getattr(cog, "BasePredictor", None), getattr(cog, "BaseRunner", None), object)
    for owner in cls.__mro__:
        if owner in bases:
            return None
        if name in owner.__dict__:
            return owner.__dict__[name]
    return None


def find_function(module, name):
    for one in [name] if name else ["Runner", "Predictor"]:
        target = getattr(module, one, None)
        if target is not None:
            break
    else:
        raise Wrong(f"it has no {name or 'Runner or Predictor'}")
    if not inspect.isclass(target):
        return target, False
    found = [one for one in (own_method(target, "run"), own_method(target, "predict")) if one]
    if len(found) != 1:
        raise Wrong(f"{one} is to have either run() or predict()")
    return found[0], True


# ---- what types are in JSON

PRIMITIVES = {bool: {"type": "boolean"}, int: {"type": "integer"}, float: {"type": "number"},
              str: {"type": "string"}}
SECRET = {"type": "string", "format": "password", "writeOnly": True, "x-cog-secret": True}
FILE = {"type": "string", "format": "uri"}


def is_cog_type(tpe, *names):
    return inspect.isclass(tpe) and any(
        tpe is getattr(cog, name, None) for name in names)


def split_optional(tpe):
    """The type without None, and whether None was one of it."""
    if typing.get_origin(tpe) in (typing.Union, types.UnionType):
        rest = [one for one in typing.get_args(tpe) if one is not type(None)]
        if len(rest) < len(typing.get_args(tpe)):
            return typing.Union[tuple(rest)], True
    return tpe, False


def fields_of(tpe):
    """Names, types and whether they have to be there, of a class that is a record."""
    hints = typing.get_type_hints(tpe)
    required = getattr(tpe, "__required_keys__", None)
    for name, hint in hints.items():
        if name.startswith("_") or typing.get_origin(hint) is typing.ClassVar:
            continue
        optional = split_optional(hint)[1] or hasattr(tpe, name)
        yield name, hint, name in required if required is not None else not optional


def json_type(tpe, where, seen=()):
    if typing.get_origin(tpe) is typing.Annotated:
        return json_type(typing.get_args(tpe)[0], where, seen)
    tpe, nullable = split_optional(tpe)
    if nullable:
        return {**json_type(tpe, where, seen), "nullable": True}
    origin, args = typing.get_origin(tpe), typing.get_args(tpe)
    if tpe in PRIMITIVES:
        return dict(PRIMITIVES[tpe])
    if is_cog_type(tpe, "Path", "File", "URLPath", "URLFile") or (
            inspect.isclass(tpe) and issubclass(tpe, os.PathLike)):
        return dict(FILE)
    if is_cog_type(tpe, "Secret"):
        return dict(SECRET)
    if tpe in (typing.Any, dict, object) or tpe is typing.Dict:
        return {"type": "object"}
    if tpe in (list, typing.List):
        return {"type": "array", "items": {"type": "object"}}
    if origin is list and args:
        return {"type": "array", "items": json_type(args[0], where, seen)}
    if origin is dict and args:
        return {"type": "object", "additionalProperties": json_type(args[1], where, seen)}
    if origin is typing.Literal:
        return {"enum": list(args), **json_type(type(args[0]), where)}
    if origin is typing.Union:
        return {"anyOf": [json_type(one, where, seen) for one in args]}
    if inspect.isclass(tpe) and hasattr(tpe, "__annotations__") and tpe not in seen:
        properties, required = {}, []
        for name, hint, needed in fields_of(tpe):
            properties[name] = {"title": title(name),
                                **json_type(hint, f"{where}.{name}", (*seen, tpe))}
            if needed:
                required.append(name)
        return {"type": "object", "properties": properties,
                **({"required": required} if required else {})}
    if inspect.isclass(tpe) and tpe in seen:
        return {"type": "object"}
    raise Wrong(f"{where} has a type that is not one of JSON: {tpe}")


def output_type(tpe):
    """The schema of what comes out, and whether it comes piece by piece."""
    origin, args = typing.get_origin(tpe), typing.get_args(tpe)
    concatenated = [one for one in (getattr(cog, "ConcatenateIterator", None),
                                    getattr(cog, "AsyncConcatenateIterator", None)) if one]
    joins = origin in concatenated or tpe in concatenated
    if joins or origin in (Iterator, AsyncIterator):
        schema = {"type": "array", "items": json_type(args[0] if args else str, "the output"),
                  "x-cog-array-type": "iterator"}
        if joins:
            schema["x-cog-array-display"] = "concatenate"
        return {"title": "Output", **schema}, True
    return {"title": "Output", **json_type(tpe, "the output")}, False


# ---- inputs

def title(name):
    return name.replace("_", " ").title()


def plain(value):
    """A default as JSON has it."""
    value = getattr(value, "value", value) if not isinstance(
        value, (str, int, float, bool, list, dict)) else value
    return json.loads(json.dumps(value, default=str))


def input_schema(name, order, tpe, given, enums):
    tpe, nullable = split_optional(tpe)
    info = given if type(given).__name__ == "FieldInfo" else None
    default = given if info is None else getattr(info, "default", None)
    field = {"x-order": order}
    shape = json_type(tpe, f"input {name}")
    choices = getattr(info, "choices", None)
    if choices:
        enums[name] = {"title": name, "description": "An enumeration.",
                       "enum": [plain(one) for one in choices],
                       "type": shape.get("type", "string")}
        field["allOf"] = [{"$ref": f"#/components/schemas/{name}"}]
    else:
        field.update({"title": title(name), **shape})
    if default is inspect.Parameter.empty:
        default = None
    secret = shape.get("x-cog-secret", False) and info is not None
    needed = default is None and not nullable and not secret
    if default is not None:
        field["default"] = plain(default)
    if nullable or (secret and default is None):
        field["nullable"] = True
    for key, attribute in (("description", "description"), ("minimum", "ge"), ("maximum", "le"),
                           ("minLength", "min_length"), ("maxLength", "max_length"),
                           ("pattern", "regex"), ("deprecated", "deprecated"),
                           ("x-cog-accept", "accept")):
        value = getattr(info, attribute, None)
        if value is not None and value is not False:
            field[key] = value
    return field, needed


def schemas_of(function, is_method):
    """The schemas of a predictor's function, and whether its output is streamed."""
    hints = typing.get_type_hints(function, include_extras=True)
    called = f"{function.__name__}()"
    if hints.get("return", type(None)) is type(None):
        raise Wrong(f"{called} does not say what it returns: add a type, such as -> str")
    properties, required, enums = {}, [], {}
    for order, parameter in enumerate(
            list(inspect.signature(function).parameters.values())[1 if is_method else 0:]):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise Wrong(f"{called} has *{parameter.name}: each input has to have a name")
        if parameter.name not in hints:
            raise Wrong(f"{called} does not say of which type its input {parameter.name} is: "
                        f"write {parameter.name}: str, or whatever it is")
        properties[parameter.name], needed = input_schema(
            parameter.name, order, hints[parameter.name], parameter.default, enums)
        if needed:
            required.append(parameter.name)
    inputs = {"title": "Input", "type": "object", "properties": properties}
    if required:
        inputs["required"] = required
    output, streams = output_type(hints["return"])
    return {"Input": inputs, "Output": output, **enums}, streams


# ---- the document

def reference(name):
    return {"$ref": f"#/components/schemas/{name}"}


def body(schema):
    return {"content": {"application/json": {"schema": schema}}}


def document(schemas, streams):
    text = {"type": "string"}
    answers = {"200": {"description": "Successful Response",
                       **body(reference("PredictionResponse"))},
               "422": {"description": "Validation Error",
                       **body(reference("HTTPValidationError"))}}
    schemas["PredictionRequest"] = {
        "title": "PredictionRequest", "type": "object",
        "properties": {"id": text, "input": reference("Input")}}
    schemas["PredictionResponse"] = {
        "title": "PredictionResponse", "type": "object",
        "properties": {"id": text, "input": reference("Input"), "output": reference("Output"),
                       "status": reference("Status"), "error": text, "logs": text,
                       "version": text, "created_at": text, "started_at": text,
                       "completed_at": text, "metrics": {"type": "object"}}}
    schemas["Status"] = {"title": "Status", "type": "string", "enum": [
        "starting", "processing", "succeeded", "canceled", "failed"]}
    place = {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}
    schemas["ValidationError"] = {
        "title": "ValidationError", "type": "object", "required": ["loc", "msg", "type"],
        "properties": {"loc": place, "msg": text, "type": text}}
    schemas["HTTPValidationError"] = {
        "title": "HTTPValidationError", "type": "object",
        "properties": {"detail": {"type": "array", "items": reference("ValidationError")}}}
    predict = {"summary": "Predict", "operationId": "predict_predictions_post",
               "requestBody": body(reference("PredictionRequest")), "responses": answers}
    if streams:
        predict["x-cog-streaming"] = True
    cancel = {"summary": "Cancel",
              "operationId": "cancel_predictions__prediction_id__cancel_post",
              "parameters": [{"name": "prediction_id", "in": "path", "required": True,
                              "schema": text}],
              "responses": {"200": {"description": "Successful Response"}}}
    version = getattr(cog, "__version__", "")
    return {"openapi": "3.0.2",
            "info": {"title": "Cog", "version": "0.1.0", "x-cog-version": version},
            "paths": {"/predictions": {"post": predict},
                      "/predictions/{prediction_id}/cancel": {"post": cancel}},
            "components": {"schemas": schemas}}


def schema_of(ref):
    path, _, name = ref.partition(":")
    if not os.path.isfile(path):
        raise Wrong("there is no such file")
    try:
        return schemas_of(*find_function(declared(path), name))
    except SyntaxError as error:
        raise Wrong(f"line {error.lineno}: {error.msg}") from None
    except Exception as error:  # what is missing there may be there once it is run
        sys.modules.pop("declared", None)
        missing = error
    sys.path.insert(0, os.getcwd())
    try:
        module = imported(path)
    except BaseException:
        traceback.print_exc()
        raise Wrong(f"it cannot be imported (see above), and without that: {missing}") from None
    return schemas_of(*find_function(module, name))


def main():
    ref = os.environ["COG_PREDICT_TYPE_STUB"]
    try:
        text = json.dumps(document(*schema_of(ref)), sort_keys=False, allow_nan=False)
        if len(text) > MOST_BYTES:
            raise Wrong(f"its schema has {len(text)} bytes, and {MOST_BYTES} are the most")
    except (Wrong, TypeError, ValueError, NameError) as error:
        sys.exit(f"{ref}: {error}")
    os.makedirs(".cog", exist_ok=True)
    with open(".cog/openapi_schema.json", "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
