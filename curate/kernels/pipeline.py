"""How Numba compiles the functions of this package: as any function, less what these have no need of.

Most of a first build is Numba at work. What is here is all that this package changes of it; without, a first build of
`mixtures/demo.py` takes a third longer. Functions that are not of this package become the same code as before.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, ClassVar, Final

import llvmlite.binding as llvm  # type: ignore[import-untyped]
from llvmlite import ir
from numba import types
from numba._dynfunc import make_function  # type: ignore[import-not-found]
from numba.core.caching import CompileResultCacheImpl
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, CompileResult, DefaultPassBuilder, Flags, _LowerResult
from numba.core.compiler_machinery import PassManager, register_pass
from numba.core.typed_passes import NativeLowering
from numba.core.types.functions import BaseFunction

OURS: Final = "_ZN6curate"
"""How the names of functions of this package begin, as Numba writes them."""

LEFT_OUT: Final = frozenset({
    "DumpParforDiagnostics", "FindLiterallyCalls", "InlineInlinables", "LiteralPropagationSubPipelinePass",
    "LiteralUnroll", "MakeFunctionToJitFunction", "NopythonRewrites", "WithLifting",
})  # fmt: skip
"""Passes of Numba for what our functions do without: functions within functions, `with`, and sums of whole arrays, of
which each operation then makes an array."""

_RESULT: Any = CompileResult
"""Numba's types see a named tuple without fields."""

SCALARS: Final = (types.Number, types.Boolean, types.IntegerLiteral, types.BooleanLiteral)


class QuickFlags(Flags):
    """The options of a function. Numba compares them thousands of times, and reads 25 of them each time."""

    __slots__ = ()
    _hash: ClassVar[int] = hash(tuple(sorted(Flags.options)))

    def __hash__(self) -> int:
        """Return what options of any kind have as their hash."""
        return self._hash

    def __eq__(self, other: object) -> bool:
        """Tell whether all options are the same; those that neither sets are."""
        if not isinstance(other, Flags):
            return NotImplemented
        given = self._values, other._values
        return given[0] == given[1] or all(getattr(self, one) == getattr(other, one) for one in {*given[0], *given[1]})


class HelperLibrary(JITCodeLibrary):
    """The code of a helper, which only goes into kernels: it is tidied, and becomes no machine code of its own."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout
        for function in module.functions:
            if not function.is_declaration:
                manager, builder = self._codegen._function_pass_manager()
                manager.run(function, builder)

    def _optimize_final_module(self) -> None:
        """Leave that to the kernel."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class KernelLibrary(JITCodeLibrary):
    """The code of a kernel. LLVM reads it once, with its helpers in it; Numba would have it read three times."""

    _bitcode: bytes = b""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        manager, builder = self._codegen._module_pass_manager()
        manager.run(self._final_module, builder)

    def serialize_using_object_code(self) -> tuple[str, str, tuple[bytes, bytes, tuple[str, ...]]]:
        """Return what is kept on disk: the name, the machine code, the code for other kernels, and its symbols."""
        name, kind, (machine_code, bitcode) = super().serialize_using_object_code()
        module = self._get_module_for_linking()
        symbols = [one.name for group in (module.functions, module.global_variables) for one in group if _is_here(one)]
        return name, kind, (machine_code, bitcode, tuple(symbols))

    @classmethod
    def load(cls, codegen: Any, kept: tuple[str, str, tuple[bytes, bytes, tuple[str, ...]]]) -> KernelLibrary:
        """Load what was kept. The code for other kernels, which few need, is parsed when one of them is compiled."""
        name, _, (machine_code, bitcode, symbols) = kept
        library = cls(codegen, name)
        library.enable_object_caching()
        library._set_compiled_object(machine_code)
        library._finalize_final_module()
        library._bitcode = bitcode
        codegen._engine._defined_symbols.update(symbols)
        return library

    def _get_module_for_linking(self) -> Any:
        if self._bitcode and self._shared_module is None:
            self._shared_module = llvm.parse_bitcode(self._bitcode)
        return super()._get_module_for_linking()


def _is_here(symbol: Any) -> bool:
    return not symbol.is_declaration


class KernelCache(CompileResultCacheImpl):
    """Writes compiled kernels to disk, and reads them."""

    def reduce(self, result: Any) -> Any:
        """Return what is kept of a kernel.

        Left out is where Numba's own functions in it would find Python objects: they hold none, and with it, a kernel
        that is read imports all that Numba knows of arrays and strings (0.05 s).
        """
        *kept, others = super().reduce(result)
        return (*kept, tuple(one for one in others if one.consts or one.globals["__name__"].startswith("curate.")))

    def rebuild(self, target_context: Any, payload: Any) -> Any:
        """Return a kernel as it was when it was kept."""
        kept, fndesc, environment, signature, objectmode, lifted, annotation, reload_init, others = payload
        for function in reload_init:
            function()
        library = KernelLibrary.load(target_context.codegen(), kept)
        result = _RESULT(
            typing_context=target_context.typing_context, target_context=target_context,
            entry_point=target_context.get_executable(library, fndesc, environment), typing_error=None,
            type_annotation=annotation, signature=signature, objectmode=objectmode, lifted=lifted, fndesc=fndesc,
            library=library, call_helper=None, environment=environment, metadata=None, reload_init=reload_init,
            referenced_envs=others,
        )  # fmt: skip
        for other in others:
            library.codegen.set_env(other.env_name, other)
        return result


@register_pass(mutates_CFG=True, analysis_only=False)
class KernelLowering(NativeLowering):
    """Makes a `KernelLibrary` of a typed function."""

    _name = "kernel_lowering"

    def run_pass(self, state: Any) -> bool:
        """Lower the function."""
        state.library = KernelLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return bool(super().run_pass(state))


@register_pass(mutates_CFG=True, analysis_only=False)
class HelperLowering(NativeLowering):
    """Makes a `HelperLibrary` of a typed function, and an entry that names it, but cannot be called."""

    _name = "helper_lowering"

    def run_pass(self, state: Any) -> bool:
        """Lower the function."""
        state.library = HelperLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        made = state["cr"]
        name = made.fndesc.qualname.split(".")[-1]
        entry = make_function(made.fndesc.lookup_module(), name, "", 0, made.env, (state.library,))
        state.targetctx.insert_user_function(entry, made.fndesc, [state.library])
        state.reload_init.extend(state.library._reload_init)
        state["cr"] = _LowerResult(made.fndesc, made.call_helper, cfunc=entry, env=made.env)
        return True


class KernelCompiler(CompilerBase):
    """Compiles a kernel."""

    lowering: ClassVar[type[NativeLowering]] = KernelLowering

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.state.flags = QuickFlags(self.state.flags)

    def compile_extra(self, function: Any) -> Any:
        """Compile a function, and with it the helpers that it calls."""
        with _uncollected():
            return super().compile_extra(function)

    def define_pipelines(self) -> list[PassManager]:
        """Return Numba's passes, less those left out, with a lowering of ours."""
        parts = DefaultPassBuilder
        manager = PassManager("curate")
        for part in (
            parts.define_untyped_pipeline, parts.define_typed_pipeline, parts.define_nopython_lowering_pipeline,
        ):  # fmt: skip
            for one, what in part(self.state).passes:
                if one.__name__ not in LEFT_OUT:
                    manager.add_pass(self.lowering if one is NativeLowering else one, what)
        manager.finalize()
        return [manager]


class HelperCompiler(KernelCompiler):
    """Compiles a helper."""

    lowering = HelperLowering


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no cycles among the objects of a compiler: a tenth of its time. They are let go of afterwards."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@cache
def change_numba() -> None:
    """Make those changes that are not a class of ours, before the first function is compiled."""
    _take_places_as_they_are()
    _remember_scalars()


def _take_places_as_they_are() -> None:
    """Let kernels use a place in an array as it is, unless it is a constant: none of ours is below zero.

    Numba asks of each whether it counts from the end, and LLVM can then make no vectors; without, kernels take 10 to
    30 % less time. Functions that are not of this package, and arrays of two dimensions, are compiled as before.
    """
    from numba.np import arrayobj

    fixed, indexed = arrayobj.fix_integer_index, arrayobj.basic_indexing
    dimensions = [0]

    def place(context: Any, builder: Any, kind: Any, index: Any, size: Any) -> Any:
        if dimensions[0] > 1 or isinstance(index, ir.Constant) or not builder.function.name.startswith(OURS):
            return fixed(context, builder, kind, index, size)
        return context.cast(builder, index, kind, types.intp if kind.signed else types.uintp)

    def places(*arguments: Any, **options: Any) -> Any:
        dimensions[0] = len(arguments[5])  # the indices
        return indexed(*arguments, **options)

    arrayobj.fix_integer_index, arrayobj.basic_indexing = place, places


def _remember_scalars() -> None:
    """Let Numba remember the types of operations on numbers, which it works out again for each: a tenth of its time."""
    resolve = BaseFunction.get_call_type
    known: dict[tuple[int, Any], tuple[Any, Any]] = {}

    def call_type(self: Any, context: Any, args: Any, kws: Any) -> Any:
        if kws or not all(isinstance(each, SCALARS) for each in args):
            return resolve(self, context, args, kws)
        key = id(self), tuple(args)
        if key in known:
            return known[key][1]
        signature = resolve(self, context, args, kws)
        if signature is not None and self._impl_keys.get(signature.args) is self.typing_key:  # not one compiled for it
            known[key] = self, signature  # `self` as long as its number is a key
        return signature

    BaseFunction.get_call_type = call_type  # type: ignore[method-assign]
